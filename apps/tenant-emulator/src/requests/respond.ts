import type { ServerResponse } from 'node:http';

/** Sends a whole answer, unless the handler has begun one. */
export function respond(
  response: ServerResponse,
  answer: { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: string },
): void {
  if (response.headersSent) return;
  response.statusCode = answer.status;
  for (const [name, value] of Object.entries(answer.headers)) response.setHeader(name, value);
  response.end(answer.body);
}

export const JSON_TYPE = { 'Content-Type': 'application/json; charset=utf-8' };
export const HTML_TYPE = { 'Content-Type': 'text/html; charset=utf-8' };
