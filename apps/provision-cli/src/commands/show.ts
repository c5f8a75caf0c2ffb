import { OutputStream } from '../output/output-stream.js';
import { jsonLine, printable } from '../output/printable.js';
import type { Surroundings } from '../surroundings.js';

/**
 * Shows what came of a call: a line for each member, or one of JSON.
 *
 * @throws OutputError
 */
export async function show(
  result: Readonly<Record<string, unknown>>,
  { json }: { readonly json?: true },
  { stdout }: Surroundings,
): Promise<void> {
  const known = Object.entries(result).filter(([, value]) => value !== undefined && value !== null);
  const width = Math.max(...known.map(([name]) => name.length));
  const lines = known.map(([name, value]) => `${name.padEnd(width)}  ${printable(String(value))}\n`);
  const output = new OutputStream(stdout);
  output.write(json ? jsonLine(result) : lines.join(''));
  await output.flushed();
  output.requireWritten();
}
