import { type DynamicModule, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import type { Settings } from '../settings/settings.js';
import { EmbeddedStore } from './embedded-store.js';
import { IdempotencyLedger } from './idempotency-ledger.js';
import type { IdempotencyStore } from './idempotency-store.js';

const IDEMPOTENCY_STORE = Symbol('IdempotencyStore');

/** How long another instance waits for one that has died with requests in hand, in milliseconds. */
const LEASE_MS = 15_000;

/** Remembers requests with an idempotency key. The boot fails where the store cannot be opened. */
@Module({})
export class IdempotencyModule implements OnApplicationShutdown {
  /** @param scope What the keys are good for: the address of the tenant. */
  static with(settings: Settings['idempotency'], scope: string): DynamicModule {
    return {
      module: IdempotencyModule,
      global: true,
      providers: [
        { provide: IDEMPOTENCY_STORE, useFactory: () => openStore(settings) },
        {
          provide: IdempotencyLedger,
          inject: [IDEMPOTENCY_STORE],
          useFactory: (store: IdempotencyStore) => new IdempotencyLedger(store, scope),
        },
      ],
      exports: [IdempotencyLedger],
    };
  }

  constructor(
    @Inject(IDEMPOTENCY_STORE) private readonly store: IdempotencyStore,
    private readonly ledger: IdempotencyLedger,
  ) {}

  /** The last answer is written by now, but a request whose client is gone may be under way still. */
  async onApplicationShutdown(): Promise<void> {
    await this.ledger.idle();
    await this.store.close();
  }
}

async function openStore({ directory, redis, retention }: Settings['idempotency']): Promise<IdempotencyStore> {
  if (!redis) return EmbeddedStore.open(directory, retention);
  // The client for Redis is a quarter of all modules of this service, so only who wants it loads it.
  const { RedisStore } = await import('./redis-store.js');
  return RedisStore.open({ ...redis, leaseMs: LEASE_MS }, retention);
}
