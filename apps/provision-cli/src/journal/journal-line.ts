import { crc32 } from 'node:zlib';

/** A line of a journal: a checksum, a blank, and JSON. */
export function encodeJournalLine(entry: object): string {
  const json = JSON.stringify(entry);
  return `${checksum(json)} ${json}\n`;
}

/** What a line says; undefined for one that was not written to its end, or was damaged since. */
export function decodeJournalLine(line: string): unknown {
  const match = /^([\da-f]{8}) (.*)\n$/s.exec(line);
  if (!match || checksum(match[2]!) !== match[1]) return undefined;
  try {
    return JSON.parse(match[2]!);
  } catch {
    return undefined;
  }
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}
