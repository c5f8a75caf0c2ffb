import type { UnusableKeyReason } from './verification-key.js';

/**
 * An event about the key sets, the issuers or the introspection that the guard relies on. Holds no token and no key.
 */
export type VerificationEvent =
  /** The issuer's keys have changed. `keys` is the number of usable ones. */
  | { readonly type: 'key_set.changed'; readonly issuer: string; readonly keys: number }
  /** The keys can be read again after a failure. */
  | { readonly type: 'key_set.recovered'; readonly issuer: string }
  | {
      /** The keys could not be read. The guard keeps using cached keys for up to an hour beyond their lifetime. */
      readonly type: 'key_set.refresh_failed';
      readonly issuer: string;
      /** Number of consecutive ones. */
      readonly failures: number;
      readonly problem: string;
    }
  | {
      /**
       * A token names an unknown key, and the key set was read for another unknown key too recently: the caller gets
       * 503. Emitted once until the next read.
       */
      readonly type: 'key_set.look_up_deferred';
      readonly issuer: string;
      /** When the key set can be read again, in seconds. */
      readonly retryAfterSeconds: number;
    }
  | {
      /** One key of the set is not used. */
      readonly type: 'key_set.key_ignored';
      readonly issuer: string;
      readonly kid: string | undefined;
      readonly reason: UnusableKeyReason;
    }
  | {
      /** Many keys of the set are not used; they are not reported one by one. */
      readonly type: 'key_set.keys_ignored';
      readonly issuer: string;
      readonly keys: number;
    }
  /** The resolver accepted an issuer that was not accepted before. */
  | { readonly type: 'issuer.accepted'; readonly issuer: string }
  /** The resolver denied an issuer. Any caller can name any issuer. */
  | { readonly type: 'issuer.denied'; readonly issuer: string }
  | {
      /** The resolver failed, or its result is invalid: callers with tokens of that issuer get 503. */
      readonly type: 'issuer.resolution_failed';
      readonly issuer: string;
      /** Number of consecutive ones. */
      readonly failures: number;
      readonly problem: string;
    }
  /** The resolver was not called, because too many of its calls are under way. Emitted at most once in 10 s. */
  | { readonly type: 'issuer.resolver_overloaded' }
  /** An accepted issuer was evicted. For its next token, the resolver is called and the keys are fetched again. */
  | { readonly type: 'issuer.evicted'; readonly issuer: string }
  | {
      /** Introspection of one token failed. Other tokens are not affected. */
      readonly type: 'introspection.failed';
      readonly issuer: string;
      /** The kind of token: opaque, or signed and sent to a handler marked `@Sensitive()`. */
      readonly tokens: 'opaque' | 'signed';
      /** Number of consecutive ones. */
      readonly failures: number;
      readonly problem: string;
    }
  | {
      /** Introspection of a token that does not exist also failed: the issuer is down, and requests pause. */
      readonly type: 'introspection.paused';
      readonly issuer: string;
      /** Number of consecutive ones. */
      readonly pauses: number;
      /** Length of the pause, in milliseconds. */
      readonly pauseMs: number;
      readonly problem: string;
    }
  /** Introspection works again. */
  | { readonly type: 'introspection.recovered'; readonly issuer: string }
  | {
      /** The issuer rejected the introspection of one token. Other tokens are not affected. */
      readonly type: 'introspection.rejected';
      readonly issuer: string;
      readonly tokens: 'opaque' | 'signed';
      /** Whether the issuer ever responded as expected; if not, the address or another option may be wrong. */
      readonly hasAnswered: boolean;
      readonly problem: string;
    };
