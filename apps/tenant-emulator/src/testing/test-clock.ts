/** A clock that stops until a test advances it. */
export class TestClock {
  ms = Date.parse('2030-01-01T00:00:00Z');
  /** The requested delays in milliseconds. They end immediately. */
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
