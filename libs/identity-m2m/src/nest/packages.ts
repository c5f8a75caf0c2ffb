import type { Type } from '@nestjs/common';
import { createRequire } from 'node:module';

/** The members of `@nestjs/microservices` that the guard uses. An application may not have the package. */
export interface MicroservicesPackage {
  readonly RpcException: Type<Error>;
  readonly KafkaRetriableException: Type<Error>;
  readonly TcpContext: Type<object>;
  readonly RedisContext: Type<object>;
  readonly NatsContext: Type<object>;
  readonly MqttContext: Type<object>;
  readonly RmqContext: Type<object>;
  readonly KafkaContext: Type<object>;
  readonly ServerTCP: Type<object>;
  readonly ServerRedis: Type<object>;
  readonly ServerMqtt: Type<object>;
  readonly ServerRMQ: Type<object>;
  readonly ServerKafka: Type<object>;
}

/**
 * Loads the application's `@nestjs/microservices`. Returns undefined if it is not installed; then no message can
 * arrive.
 *
 * @throws The error of a package that fails to load: without it, messages would be unguarded.
 */
export async function loadMicroservices(): Promise<MicroservicesPackage | undefined> {
  try {
    return await import('@nestjs/microservices');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return (
    (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') &&
    String(message).includes('@nestjs/microservices')
  );
}

/**
 * Loads a transport's package as `@nestjs/microservices` does, whose clients use it. From here, Node.js might find
 * another copy.
 *
 * @throws The error of Node.js if it is not installed; but then the client could not have been created.
 */
export function packageOfNest(name: string): unknown {
  const nest = createRequire(import.meta.url).resolve('@nestjs/microservices');
  return createRequire(nest)(name);
}
