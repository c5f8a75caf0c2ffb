import { field } from '../foundation/option-check.js';

/**
 * Reads the credentials of calls by a custom transport strategy, or through Nest's `ExternalContextCreator`. Libraries
 * such as `@golevelup/nestjs-rabbitmq` call handlers through it.
 *
 * The guard reads the transports of `@nestjs/microservices` itself. It refuses calls by any other transport, unless
 * exactly one extractor names the class of their context. An extractor for a context class of Nest replaces the guard's
 * own reader for the messages of Nest's servers.
 */
export interface CredentialExtractor<Context extends object = object> {
  /** Name of the transport in events and counts, such as `sqs`. */
  readonly transport: string;

  /**
   * Class of the context, which handlers receive as their second argument, after the payload. Subclasses match too
   * (`instanceof`). For plain objects, write a class with `static [Symbol.hasInstance](value)`. The guard never reads
   * the payload.
   */
  readonly context: abstract new (...args: never[]) => Context;

  /**
   * Returns every value of `Authorization` that came with the call, each as `Bearer <token>`. Never read them from the
   * payload. The guard requires exactly one. If this throws, the guard refuses the call.
   */
  authorization(context: Context): readonly unknown[];
}

/**
 * Classes of values that may come over a wire. They are rejected as contexts, because a payload must not pass for one.
 */
const DATA_CLASSES: readonly unknown[] = [Object, Array, Uint8Array, Buffer, Map, Set, Date];

/** Schema of a {@link CredentialExtractor}. */
export const credentialExtractor = field<CredentialExtractor>(
  'an extractor: { transport: its name in lower case, context: a class, authorization: a function }',
  (value) => {
    const { transport, context, authorization } = (value ?? {}) as Partial<CredentialExtractor>;
    const isName = typeof transport === 'string' && /^[a-z0-9][a-z0-9_-]{0,63}$/.test(transport);
    const isContext = typeof context === 'function' && !DATA_CLASSES.includes(context);
    return isName && isContext && typeof authorization === 'function';
  },
);
