import { setTimeout as pause } from 'node:timers/promises';
import { HttpService } from '@nestjs/axios';
import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { isAxiosError } from 'axios';
import { TokenProvider } from 'nestjs-identity-m2m';
import { firstValueFrom } from 'rxjs';
import { z } from 'zod';
import { deviceName, SETTINGS, type Settings } from './settings.js';

/** The name is logged, so it must be a valid one: any other text could forge a log line. */
const deviceState = z.object({ name: deviceName, upSince: z.iso.datetime() });

/** Requests the state of the other device at an interval. The module adds the token to each call. */
@Injectable()
export class Neighbour implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly #logger = new Logger('Device');
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;

  constructor(
    private readonly http: HttpService,
    private readonly tokens: TokenProvider,
    @Inject(SETTINGS) private readonly settings: Settings,
  ) {}

  onApplicationBootstrap(): void {
    this.#running = this.#run();
  }

  async onApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const { NEIGHBOUR_URL: url, ASK_EVERY_MS: intervalMs } = this.settings;
    for (;;) {
      await pause(intervalMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      try {
        const { data } = await firstValueFrom(this.http.get<unknown>('/state', { signal }));
        const { name, upSince } = deviceState.parse(data);
        const token = this.tokens.status().fingerprint ?? 'none';
        this.#logger.log(`neighbour ${url}: ${name} is up since ${upSince} token=${token}`);
      } catch (error) {
        if (!signal.aborted) this.#logger.warn(`neighbour ${url}: request failed: ${reasonOf(error)}`);
      }
    }
  }
}

/** An error of the library says what to do; an HTTP error has a status. */
function reasonOf(error: unknown): string {
  if (isAxiosError(error)) return error.response ? `HTTP ${error.response.status}` : (error.code ?? 'no response');
  return error instanceof Error ? error.message : String(error);
}
