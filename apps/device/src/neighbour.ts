import { setTimeout as pause } from 'node:timers/promises';
import { HttpService } from '@nestjs/axios';
import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { isAxiosError } from 'axios';
import { TokenProvider } from 'nestjs-identity-m2m';
import { firstValueFrom } from 'rxjs';
import { z } from 'zod';
import { deviceName, SETTINGS, type Settings } from './settings.js';

/** The name goes into the log, and so it is one that a device may have. */
const deviceState = z.object({ name: deviceName, upSince: z.iso.datetime() });

/** Asks the other device how it is, from time to time. The token is on the calls already. */
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
    const { url, askEveryMs } = this.settings.neighbour;
    for (;;) {
      await pause(askEveryMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      try {
        const { data } = await firstValueFrom(this.http.get<unknown>('/state', { signal }));
        const { name, upSince } = deviceState.parse(data);
        const token = this.tokens.status().fingerprint ?? 'none';
        this.#logger.log(`asked ${url}: ${name} is up since ${upSince} token=${token}`);
      } catch (error) {
        if (!signal.aborted) this.#logger.warn(`asked ${url} in vain: ${reasonOf(error)}`);
      }
    }
  }
}

/** An error of the library says what to do; one of HTTP has the status. */
function reasonOf(error: unknown): string {
  if (isAxiosError(error)) return error.response ? `HTTP ${error.response.status}` : (error.code ?? 'no answer');
  return error instanceof Error ? error.message : String(error);
}
