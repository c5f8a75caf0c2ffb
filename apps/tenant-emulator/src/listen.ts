import type { AddressInfo } from 'node:net';
import type { DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { RequestRecorder } from './http/request-recorder.js';

const MAX_BODY_BYTES = 1024 * 1024;

/** A server that listens. */
export interface Listening {
  /** Without a slash at its end. */
  readonly url: string;
  /** Ends it, and every connection that is still open. */
  close(): Promise<void>;
}

export interface ListenOptions {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  readonly recorder?: RequestRecorder;
}

/**
 * Starts a Nest application that takes every body as text, because what the text means is for the endpoint to say.
 *
 * @throws {@link PortTakenError}
 */
export async function listen(module: DynamicModule, { host, port, recorder }: ListenOptions): Promise<Listening> {
  const app = await NestFactory.create<NestExpressApplication>(module, {
    logger: false,
    abortOnError: false,
    bodyParser: false,
    // A request that hangs must not keep the server from closing.
    forceCloseConnections: true,
  });
  app.disable('x-powered-by').disable('etag');
  if (recorder) app.use(recorder.middleware);
  app.useBodyParser('text', { type: () => true, limit: MAX_BODY_BYTES });
  try {
    await app.listen(port, host);
  } catch (error) {
    await app.close();
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') throw new PortTakenError(port, { cause: error });
    throw error;
  }
  const address = app.getHttpServer().address() as AddressInfo;
  return { url: `http://${reachable(host)}:${address.port}`, close: () => app.close() };
}

/** A host name that a client can use. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}

/** Something else listens on the port. */
export class PortTakenError extends Error {
  override readonly name = 'PortTakenError';

  constructor(
    readonly port: number,
    options?: ErrorOptions,
  ) {
    super(`Port ${port} is already in use.`, options);
  }
}
