import type { Type } from '@nestjs/common';
import { createRequire } from 'node:module';

/** What the guard needs of `@nestjs/microservices`, which an application may not have. */
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
 * The application's `@nestjs/microservices`; undefined where it is not installed, and then no message can come.
 *
 * @throws what the package throws while it loads: half of it would leave messages that nobody can judge.
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
 * Loads a transport's package as `@nestjs/microservices` itself sees it: the one that its clients work with, which need
 * not be the one that is found from here.
 *
 * @throws Error of Node.js where it is not installed; the client could not have been made then.
 */
export function packageOfNest(name: string): unknown {
  const nest = createRequire(import.meta.url).resolve('@nestjs/microservices');
  return createRequire(nest)(name);
}
