import type { Server } from 'node:http';
import { Inject, Injectable, type OnApplicationShutdown, type OnModuleDestroy } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';

export const SHUTDOWN_TIMEOUT_MS = Symbol('ShutdownTimeoutMs');

/**
 * Closes the connections that are still open when a shutdown takes too long.
 *
 * A closed server waits for its open requests without a timeout: a client that never sends the rest of a request would
 * keep the process alive forever.
 */
@Injectable()
export class ShutdownDeadline implements OnModuleDestroy, OnApplicationShutdown {
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly host: HttpAdapterHost,
    @Inject(SHUTDOWN_TIMEOUT_MS) private readonly timeoutMs: number,
  ) {}

  /** The first step of a shutdown. */
  onModuleDestroy(): void {
    const server = this.host.httpAdapter.getHttpServer() as Server;
    this.#timer = setTimeout(() => server.closeAllConnections(), this.timeoutMs).unref();
  }

  onApplicationShutdown(): void {
    clearTimeout(this.#timer);
  }
}
