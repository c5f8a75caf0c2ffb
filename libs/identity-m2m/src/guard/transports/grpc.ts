import type { ExecutionContext, Type } from '@nestjs/common';
import type { MicroservicesPackage } from '../../nest/packages.js';
import type { Refusal } from '../../verification/refusal.js';
import type { RoutePolicy } from '../../verification/route-policy.js';
import { type Credential, soleCredential } from '../credential.js';
import { MessageRefusal } from '../message-handler.js';
import { bearerChallenge, grpcStatus, type RefusalAnswer, refusalAnswer } from '../refusal-answer.js';
import type { InboundTransport } from './inbound-transport.js';

/** Metadata of grpc-js, whose names are in lower case. */
interface GrpcMetadata {
  get(name: string): unknown[];
  set(name: string, value: string): void;
}

/** A call of grpc-js, on the server side. */
interface GrpcCall {
  readonly metadata: GrpcMetadata;
  getPeer(): string;
  emit(event: 'error', error: object): void;
}

/** A call with a stream of messages. */
interface GrpcStream extends GrpcCall {
  isPaused(): boolean;
  pause(): void;
  resume(): void;
  listenerCount(event: 'data'): number;
}

type UnaryCallback = (error: object) => void;

/**
 * Returns the call of a gRPC handler; undefined for other handlers.
 *
 * Handlers of three modes receive the request, its metadata and the call; a handler of `@GrpcStreamCall()` receives
 * only the call, or the call and a callback. Calls are recognised by their methods, which no received message has.
 */
export function grpcCallOf(context: ExecutionContext): GrpcCall | undefined {
  const [first, second, third] = context.getArgs<unknown[]>();
  if (isCall(third) && third.metadata === second) return third;
  return (second === undefined || typeof second === 'function') && isCall(first) ? first : undefined;
}

function isCall(value: unknown): value is GrpcCall {
  const call = value as Partial<GrpcCall> | null | undefined;
  return typeof call === 'object' && typeof call?.getPeer === 'function' && typeof call.metadata?.get === 'function';
}

/**
 * gRPC in its four modes: reads the metadata `authorization`, and refuses with a status and a challenge in trailing
 * metadata.
 */
export class GrpcTransport implements InboundTransport {
  readonly name = 'grpc';

  constructor(
    private readonly microservices: MicroservicesPackage,
    private readonly realm: string | undefined,
  ) {}

  read(context: ExecutionContext): Credential {
    return soleCredential(grpcCallOf(context)!.metadata.get('authorization'));
  }

  callKey(context: ExecutionContext): object {
    return grpcCallOf(context)!;
  }

  /**
   * Holds the messages of a stream for `@GrpcStreamMethod()`, which Nest starts to read before it calls the guard.
   *
   * Nest up to 12.0.3 loses them if the stream ends before the handler is called, and every version buffers as many as
   * the caller sends. HTTP/2 flow control limits a paused stream.
   */
  hold(context: ExecutionContext): () => void {
    const call = grpcCallOf(context)!;
    // A stream without a reader, such as that of `@GrpcStreamCall()`, holds its messages by itself.
    if (!isBeingRead(call)) return () => {};
    call.pause();
    return () => call.resume();
  }

  refuse(context: ExecutionContext, refusal: Refusal, policy: RoutePolicy): Error {
    const call = grpcCallOf(context)!;
    const answer = refusalAnswer(refusal, policy);
    const challenge = bearerChallenge(answer, this.realm, policy);
    const status = statusOf(answer, challenge, call.metadata);
    const isStreamCall = context.getArgByIndex(0) === call;
    if (!isStreamCall) return new this.microservices.RpcException(status);
    // Nest leaves such a call to its handler. An error would end the process as an unhandled rejection, and the caller
    // would wait forever.
    const callback = context.getArgByIndex<UnaryCallback | undefined>(1);
    if (callback) callback(status);
    else call.emit('error', status);
    return new MessageRefusal(undefined);
  }
}

function isBeingRead(call: GrpcCall): call is GrpcStream {
  const stream = call as Partial<GrpcStream>;
  return typeof stream.isPaused === 'function' && !stream.isPaused() && Number(stream.listenerCount?.('data')) > 0;
}

function statusOf(answer: RefusalAnswer, challenge: string | undefined, received: GrpcMetadata): object {
  const metadata = new (received.constructor as Type<GrpcMetadata>)();
  if (challenge !== undefined) metadata.set('www-authenticate', challenge);
  if (answer.retryAfterSeconds !== undefined) metadata.set('retry-after', String(answer.retryAfterSeconds));
  return { code: grpcStatus(answer), message: answer.message, details: answer.message, metadata };
}
