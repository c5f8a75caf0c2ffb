import type { UnusableKeyReason } from './verification-key.js';

/** What goes on behind the guard's decisions. Holds no token and no key. */
export type VerificationEvent =
  /** The issuer's keys are not those that they were. */
  | { readonly type: 'key_set.changed'; readonly issuer: string; readonly keys: number }
  /** They can be read again. */
  | { readonly type: 'key_set.recovered'; readonly issuer: string }
  | {
      /** They could not be read. Those that are held are used on for a while. */
      readonly type: 'key_set.refresh_failed';
      readonly issuer: string;
      /** In a row. */
      readonly failures: number;
      readonly problem: string;
    }
  | {
      /**
       * A token names a key that is not held, and the issuer was asked for such keys too recently: the answer is 503.
       * Told once until the issuer is asked again.
       */
      readonly type: 'key_set.look_up_deferred';
      readonly issuer: string;
      /** When the issuer can be asked, in seconds. */
      readonly retryAfterSeconds: number;
    }
  | {
      /** A key of the set is not used, and the others are. */
      readonly type: 'key_set.key_ignored';
      readonly issuer: string;
      readonly kid: string | undefined;
      readonly reason: UnusableKeyReason;
    }
  | {
      /** So many keys of the set are not used that they are not told of one by one. */
      readonly type: 'key_set.keys_ignored';
      readonly issuer: string;
      readonly keys: number;
    }
  /** The resolver has accepted an issuer that was not accepted before. */
  | { readonly type: 'issuer.accepted'; readonly issuer: string }
  /** The resolver has denied an issuer. Strangers can have it asked about any name. */
  | { readonly type: 'issuer.denied'; readonly issuer: string }
  | {
      /** The resolver failed, or its answer is none: tokens of that issuer get 503. */
      readonly type: 'issuer.resolution_failed';
      readonly issuer: string;
      /** In a row. */
      readonly failures: number;
      readonly problem: string;
    }
  /** The resolver was not asked, because it is asked about too many issuers already. Told at most once in 10 s. */
  | { readonly type: 'issuer.resolver_overloaded' }
  /** An accepted issuer made room for another one. Its next token has the resolver asked, and its keys fetched, again. */
  | { readonly type: 'issuer.evicted'; readonly issuer: string }
  | {
      /** The issuer failed to answer a question about a token. Others are asked about as before. */
      readonly type: 'introspection.failed';
      readonly issuer: string;
      /** The kind of token: opaque, or signed and sent to a handler marked `@Sensitive()`. */
      readonly tokens: 'opaque' | 'signed';
      /** In a row. */
      readonly failures: number;
      readonly problem: string;
    }
  | {
      /** The issuer failed to answer a question about a token that does not exist, too: it is down, and not asked. */
      readonly type: 'introspection.paused';
      readonly issuer: string;
      /** In a row. */
      readonly pauses: number;
      /** How long it is not asked, in milliseconds. */
      readonly pauseMs: number;
      readonly problem: string;
    }
  /** It answers again. */
  | { readonly type: 'introspection.recovered'; readonly issuer: string }
  | {
      /** The issuer would not be asked about one token. Others are asked about as before. */
      readonly type: 'introspection.rejected';
      readonly issuer: string;
      readonly tokens: 'opaque' | 'signed';
      /** Whether it ever was: otherwise its address, or something else about the question, may be wrong. */
      readonly hasAnswered: boolean;
      readonly problem: string;
    };
