/**
 * The URL that a text is; undefined where it is none.
 *
 * `URL.canParse` is not asked: once it runs hot, that of Node.js 20 denies texts with letters beyond ASCII, which the
 * parser takes.
 */
export function parseUrl(text: string, base?: string | URL): URL | undefined {
  try {
    return new URL(text, base);
  } catch {
    return undefined;
  }
}
