import type { ServerResponse } from 'node:http';
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import type { TenantRequest } from './tenant-request.js';

/** Sends a complete response, unless the handler has started one. */
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

/** The JSON object around every result of the REST API. It always has all nine keys. */
export interface Envelope {
  readonly success: boolean;
  readonly Result: unknown;
  readonly Message: string | null;
  readonly MessageID: string | null;
  readonly Exception: string | null;
  readonly ErrorID: string | null;
  readonly ErrorCode: string | null;
  readonly IsSoftError: boolean;
  readonly InnerExceptions: null;
}

export function successEnvelope(result: unknown): Envelope {
  return { ...EMPTY, success: true, Result: result ?? null };
}

export function failureEnvelope(failure: {
  readonly message: string;
  readonly messageId?: string | null;
  readonly exception?: string | null;
  readonly errorId?: string | null;
}): Envelope {
  return {
    ...EMPTY,
    Message: failure.message,
    MessageID: failure.messageId ?? null,
    Exception: failure.exception ?? null,
    ErrorID: failure.errorId ?? null,
  };
}

const EMPTY: Envelope = {
  success: false,
  Result: null,
  Message: null,
  MessageID: null,
  Exception: null,
  ErrorID: null,
  ErrorCode: null,
  IsSoftError: false,
  InnerExceptions: null,
};

/** Returns a web page, which a real tenant sends outside its APIs. Escapes neither argument. */
export function htmlPage(title: string, text: string): string {
  return `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>${title}</title></head>
<body><h1>${title}</h1><p>${text}</p></body>
</html>
`;
}

/** Responds with a web page to unknown paths, bodies that are too large and internal errors. */
@Catch()
export class HtmlErrorFilter implements ExceptionFilter {
  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<TenantRequest>();
    const response = http.getResponse<ServerResponse>();
    const status = error instanceof HttpException ? error.getStatus() : 500;
    if (status >= 500 && request.record)
      request.record.error = error instanceof Error ? error : new Error(String(error));
    const [title, text] = PAGES[status] ?? ['Error', `The request could not be served (status ${status}).`];
    respond(response, { status, headers: HTML_TYPE, body: htmlPage(title, text) });
  }
}

const PAGES: Record<number, [title: string, text: string]> = {
  404: ['Page not found', 'The page that you are looking for does not exist.'],
  413: ['Request too large', 'The body of a request is limited to 1 MiB.'],
  500: ['Server error', 'The emulator has failed; its log has the error.'],
};
