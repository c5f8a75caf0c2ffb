import type { RequestEvent } from '../http/request-recorder.js';

/** Formats a request as one line of the log. */
export function logLine(event: RequestEvent, { colour }: { readonly colour: boolean }): string {
  const { at, durationMs, method, path, status, outcome, client, tokenFingerprint, transactionId, error } = event;
  const fields = [
    new Date(at).toISOString().slice(11, 23),
    paint(status === undefined ? '---' : String(status), status, colour),
    method,
    printable(path),
    // Such an outcome repeats the status.
    ...(outcome.startsWith('HTTP ') ? [] : [outcome]),
    ...(client === undefined ? [] : [`client=${printable(client)}`]),
    ...(tokenFingerprint === undefined ? [] : [`token=${tokenFingerprint}`]),
    `tx=${transactionId.slice(0, 8)}`,
    `${durationMs}ms`,
  ];
  const line = fields.join(' ');
  return error ? `${line}\n${error.stack ?? error.message}` : line;
}

/** Replaces control characters, which would move the cursor of a terminal. */
function printable(text: string): string {
  return text.replace(/[^\x21-\x7e]/g, '?').slice(0, 200);
}

const RED = 31;
const YELLOW = 33;
const GREEN = 32;

function paint(text: string, status: number | undefined, colour: boolean): string {
  if (!colour) return text;
  const code = status === undefined || status >= 500 ? RED : status >= 400 ? YELLOW : GREEN;
  return `\u001b[${code}m${text}\u001b[0m`;
}
