/**
 * Makes text from outside fit for an error message or a log: one line of printable ASCII, cut to a length.
 *
 * A server chooses what it writes into `error_description`; without this it could forge log lines, reorder them with
 * direction marks, or fill a disk.
 */
export function printableText(text: string, maxLength = 200): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
  return cut.replace(/[^\x20-\x7e…]/g, '?');
}
