import type { Server } from 'node:http';
import { Inject, Injectable, type OnApplicationShutdown, type OnModuleDestroy } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';

export const SHUTDOWN_TIMEOUT_MS = Symbol('ShutdownTimeoutMs');

/**
 * Closes the connections that are still open when this process has been ending for long enough.
 *
 * A server that is closed waits for the requests it has, and no longer minds how long those take: a client that never
 * sends the rest of one would keep the process for ever.
 */
@Injectable()
export class ShutdownDeadline implements OnModuleDestroy, OnApplicationShutdown {
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly host: HttpAdapterHost,
    @Inject(SHUTDOWN_TIMEOUT_MS) private readonly timeoutMs: number,
  ) {}

  /** The first thing that happens at a shutdown. */
  onModuleDestroy(): void {
    const server = this.host.httpAdapter.getHttpServer() as Server;
    this.#timer = setTimeout(() => server.closeAllConnections(), this.timeoutMs).unref();
  }

  onApplicationShutdown(): void {
    clearTimeout(this.#timer);
  }
}
