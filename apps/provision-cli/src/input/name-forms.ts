/** Most names that are kept, so that memory does not grow with the input. */
const MAX_NAMES = 50_000;

/**
 * Finds names that look the same and are written in another Unicode form, as files from several systems have them: "ö"
 * as one character (NFC) or as two (NFD). Only names that have more than one form are kept; of these, the last 50,000.
 */
export class NameForms {
  readonly #seen = new Map<string, { readonly name: string; readonly line: number }>();

  /** @returns The line that has the same name in another form, where there is one. */
  add(fields: unknown, line: number): number | undefined {
    const name = (fields as { readonly name?: unknown } | null | undefined)?.name;
    if (typeof name !== 'string') return undefined;
    const composed = name.normalize('NFC');
    if (composed === composed.normalize('NFD')) return undefined;
    const known = this.#seen.get(composed);
    if (known) return known.name === name ? undefined : known.line;
    if (this.#seen.size === MAX_NAMES) this.#seen.delete(this.#seen.keys().next().value!);
    this.#seen.set(composed, { name, line });
    return undefined;
  }
}
