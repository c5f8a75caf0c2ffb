import { type DynamicModule, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import type { Settings } from '../settings.js';
import { EmbeddedStore } from './embedded-store.js';
import { IdempotencyLedger } from './idempotency-ledger.js';
import type { IdempotencyStore } from './idempotency-store.js';

const IDEMPOTENCY_STORE = Symbol('IdempotencyStore');

/** How long the requests of a crashed instance stay with it, in milliseconds. */
const LEASE_MS = 15_000;

/** Remembers requests with an idempotency key. The boot fails if the store cannot be opened. */
@Module({})
export class IdempotencyModule implements OnApplicationShutdown {
  static with(settings: Settings): DynamicModule {
    return {
      module: IdempotencyModule,
      global: true,
      providers: [
        { provide: IDEMPOTENCY_STORE, useFactory: () => openStore(settings) },
        {
          provide: IdempotencyLedger,
          inject: [IDEMPOTENCY_STORE],
          useFactory: (store: IdempotencyStore) => new IdempotencyLedger(store, settings.TENANT_URL),
        },
      ],
      exports: [IdempotencyLedger],
    };
  }

  constructor(
    @Inject(IDEMPOTENCY_STORE) private readonly store: IdempotencyStore,
    private readonly ledger: IdempotencyLedger,
  ) {}

  /** All answers are written by now, but a request whose client is gone may still be under way. */
  async onApplicationShutdown(): Promise<void> {
    await this.ledger.idle();
    await this.store.close();
  }
}

async function openStore(settings: Settings): Promise<IdempotencyStore> {
  const { REDIS_URL: url, REDIS_KEY_PREFIX: keyPrefix } = settings;
  const retention = { keepMs: settings.IDEMPOTENCY_KEEP_HOURS * 3600_000, maxKeys: settings.IDEMPOTENCY_KEEP_KEYS };
  if (url === undefined) return EmbeddedStore.open(settings.DATA_DIR, retention);
  // Redis' client is a quarter of all modules of this service, so it is loaded only when used.
  const { RedisStore } = await import('./redis-store.js');
  return RedisStore.open({ url, keyPrefix, leaseMs: LEASE_MS }, retention);
}
