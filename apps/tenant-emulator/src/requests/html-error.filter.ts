import type { ServerResponse } from 'node:http';
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import { htmlPage } from './html-page.js';
import { HTML_TYPE, respond } from './respond.js';
import type { TenantRequest } from './tenant-request.js';

/** Answers whatever no API of the tenant answers with a web page: unknown paths, bodies too large, faults of our own. */
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
  413: ['Request too large', 'The body of a request may have 1 MiB.'],
  500: ['Server error', 'The emulator itself has failed; its log says how.'],
};
