import { jsonLine, printable } from '../output/printable.js';
import type { Surroundings } from '../surroundings.js';

/** Shows what came of a call: a line for each member, or one of JSON. */
export function show(
  result: Readonly<Record<string, unknown>>,
  { json }: { readonly json?: true },
  { stdout }: Surroundings,
): void {
  const known = Object.entries(result).filter(([, value]) => value !== undefined && value !== null);
  const width = Math.max(...known.map(([name]) => name.length));
  const lines = known.map(([name, value]) => `${name.padEnd(width)}  ${printable(String(value))}\n`);
  stdout.write(json ? jsonLine(result) : lines.join(''));
}
