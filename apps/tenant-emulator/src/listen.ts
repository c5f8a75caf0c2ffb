import type { AddressInfo } from 'node:net';
import type { DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { RequestRecorder } from './http/request-recorder.js';

const MAX_BODY_BYTES = 1024 * 1024;

/** A listening server. */
export interface Listening {
  /** Without a trailing slash. */
  readonly url: string;
  /** Stops the server and closes every open connection. */
  close(): Promise<void>;
}

export interface ListenOptions {
  readonly host: string;
  /** 0: a free port. */
  readonly port: number;
  readonly recorder?: RequestRecorder;
}

/**
 * Starts a Nest application that reads every body as a string; each endpoint parses its own.
 *
 * @throws {@link PortTakenError}
 */
export async function listen(module: DynamicModule, { host, port, recorder }: ListenOptions): Promise<Listening> {
  const app = await NestFactory.create<NestExpressApplication>(module, {
    logger: false,
    abortOnError: false,
    bodyParser: false,
    // A hanging request must not prevent the server from closing.
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

/** Returns a host name that a client can use. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}

/** The port is in use. */
export class PortTakenError extends Error {
  override readonly name = 'PortTakenError';

  constructor(
    readonly port: number,
    options?: ErrorOptions,
  ) {
    super(`Port ${port} is already in use.`, options);
  }
}
