/** A clock that stands still until a test moves it. */
export class TestClock {
  ms = Date.parse('2030-01-01T00:00:00Z');
  /** The waits that were asked for, in milliseconds. They are over at once. */
  readonly waits: number[] = [];

  readonly now = (): number => this.ms;

  readonly wait = (ms: number): Promise<void> => {
    this.waits.push(ms);
    return Promise.resolve();
  };

  advance(by: { readonly seconds: number }): void {
    this.ms += by.seconds * 1000;
  }
}
