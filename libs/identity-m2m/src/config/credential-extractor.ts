/**
 * How a custom transport strategy of an application carries credentials.
 *
 * The guard knows the transports of `@nestjs/microservices`; calls by any other are refused unless one of these says where
 * their credential is. Given for a context class that the guard knows, it takes the place of the guard's own reader.
 */
export interface CredentialExtractor<Context extends object = object> {
  /** Name of the transport in events and counts, such as `sqs`. */
  readonly transport: string;

  /** Class of the context that the strategy hands to its handlers. Contexts of classes derived from it are read too. */
  readonly context: abstract new (...args: never[]) => Context;

  /**
   * Every value of `Authorization` that came with the message, each as `Bearer <token>`, from where senders of that
   * transport put it: never from the payload. The guard demands exactly one. What it throws is a refusal.
   */
  authorization(context: Context): readonly unknown[];
}
