/**
 * A regular expression of a scope, matched against REST paths.
 *
 * How the tenant anchors and compares is not documented. Here a pattern must match from the start of the path, need not
 * reach its end, and takes upper and lower case as equal, as routes do. The slash at the front of a path does not
 * count, and neither does one at the front of a pattern: both spellings are found in the vendor's examples.
 */
export class RestPathPattern {
  readonly #expression: RegExp;

  constructor(pattern: string) {
    this.#expression = new RegExp(`^(?:${pattern.replace(/^\//, '')})`, 'i');
  }

  covers(path: string): boolean {
    return this.#expression.test(path.replace(/^\//, ''));
  }
}
