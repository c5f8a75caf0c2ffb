/**
 * How calls carry credentials that come by a transport strategy of the application's own, or through Nest's
 * `ExternalContextCreator`, which libraries such as `@golevelup/nestjs-rabbitmq` run handlers with.
 *
 * The guard knows the transports of `@nestjs/microservices`. Calls by any other are refused, unless exactly one extractor
 * names the class of their context. One for a context class that the guard knows takes the place of the guard's own
 * reader, for messages of Nest's servers.
 */
export interface CredentialExtractor<Context extends object = object> {
  /** Name of the transport in events and counts, such as `sqs`. */
  readonly transport: string;

  /**
   * Class of what handlers get as their second argument, beside the payload; classes derived from it count too
   * (`instanceof`). For plain objects write a class with `static [Symbol.hasInstance](value)`. The payload, which is the
   * first argument, is never looked at.
   */
  readonly context: abstract new (...args: never[]) => Context;

  /**
   * Returns every value of `Authorization` that came with the call, each as `Bearer <token>`, from where senders put it:
   * never from the payload. The guard demands exactly one. What it throws is a refusal.
   */
  authorization(context: Context): readonly unknown[];
}
