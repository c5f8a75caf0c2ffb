import type { Type } from '@nestjs/common';
import type { CredentialExtractor } from '../../config/credential-extractor.js';
import type { MicroservicesPackage } from '../../nest/packages.js';
import type { PacketContext } from './message.js';

/**
 * Says why no message of a server can have a credential, and what to do about it, for the log; undefined where it can, be
 * it that an extractor of the application's own finds it.
 *
 * Versions of `@nestjs/microservices` before 12.1 drop the metadata of packets, and MQTT before version 5 has no user
 * properties.
 */
export function muteness(
  server: object,
  nest: MicroservicesPackage,
  extractors: readonly CredentialExtractor[],
): string | undefined {
  const [why, context] = ofServer(server, nest);
  const isRead = extractors.some((one) => one.context === context || context?.prototype instanceof one.context);
  return isRead ? undefined : why;
}

function ofServer(server: object, nest: MicroservicesPackage): [string | undefined, Type<object>?] {
  if (server instanceof nest.ServerTCP) return [ofPackets('TCP', nest.TcpContext), nest.TcpContext];
  if (server instanceof nest.ServerRedis) return [ofPackets('Redis', nest.RedisContext), nest.RedisContext];
  if (server instanceof nest.ServerMqtt) return [ofMqtt(server), nest.MqttContext];
  return [undefined];
}

function ofPackets(transport: string, context: Type<PacketContext>): string | undefined {
  if (typeof (context.prototype as PacketContext).getMetadata === 'function') return undefined;
  return `by ${transport}: this version of @nestjs/microservices drops the metadata of packets, where the token is. Use version 12.1 or later on both sides, or another transport`;
}

function ofMqtt({ options }: { readonly options?: { readonly protocolVersion?: unknown } }): string | undefined {
  if (options?.protocolVersion === 5) return undefined;
  return 'by MQTT: only messages of MQTT 5 have user properties, where the token is. Set protocolVersion: 5 on both sides';
}
