import { describe, expect, it } from '@jest/globals';
import { Metadata } from '@grpc/grpc-js';
import type { ExecutionContext } from '@nestjs/common';
import * as microservices from '@nestjs/microservices';
import { PassThrough } from 'node:stream';
import { refuse } from '../../verification/refusal.js';
import { MessageRefusal } from '../message-handler.js';
import { grpcCallOf, GrpcTransport } from './grpc.js';

const TOKEN = 'eyJh.e30.c2ln';
const transport = new GrpcTransport(microservices, 'users');

const contextOf = (...args: unknown[]) =>
  ({ getArgs: () => args, getArgByIndex: (index: number) => args[index] }) as unknown as ExecutionContext;

/** A call with these values of `authorization`. */
function callWith(...values: string[]) {
  const metadata = new Metadata();
  for (const value of values) metadata.add('authorization', value);
  const errors: unknown[] = [];
  return { metadata, getPeer: () => 'peer', errors, emit: (_event: string, error: unknown) => void errors.push(error) };
}

describe('the call of a gRPC handler', () => {
  const call = callWith();
  it.each<[string, unknown[], unknown]>([
    ['the third argument, with its metadata as the second', [{}, call.metadata, call], call],
    ['the only argument', [call], call],
    ['the first argument, before a callback', [call, () => undefined], call],
    ['none, if the metadata is that of another call', [{}, new Metadata(), call], undefined],
    ['none, if the first argument is followed by another value', [call, {}], undefined],
    ['none of a message', [{}, {}], undefined],
    ['none of a payload that looks like a call', [{ metadata: {}, getPeer: 'peer' }], undefined],
    ['none of a payload with a method', [{ metadata: {}, getPeer: () => 'peer' }], undefined],
    ['none of a payload without metadata', [{ getPeer: () => 'peer' }], undefined],
    ['none of null', [null], undefined],
    ['none of a string', ['call'], undefined],
  ])('is %s', (_what, args, expected) => {
    expect(grpcCallOf(contextOf(...args))).toBe(expected);
  });
});

describe('the credential of a gRPC call', () => {
  it.each([
    [[], refuse('credential_missing')],
    [[`Bearer ${TOKEN}`], { ok: true, token: TOKEN }],
    [[`Bearer ${TOKEN}`, `Bearer ${TOKEN}`], refuse('credential_repeated')],
  ])('with the metadata %j', (values, credential) => {
    const call = callWith(...values);
    expect(transport.read(contextOf({}, call.metadata, call))).toEqual(credential);
    expect(transport.callKey(contextOf({}, call.metadata, call))).toBe(call);
  });
});

describe('a refused gRPC call', () => {
  const headersOf = (status: { metadata: Metadata }) => status.metadata.getMap();

  it('ends in its status, with the challenge as trailing metadata', () => {
    const call = callWith();
    const context = contextOf({}, call.metadata, call);
    const error = transport.refuse(context, refuse('scope_insufficient'), { scopes: ['a'] });
    expect(error).toBeInstanceOf(microservices.RpcException);
    const status = (error as microservices.RpcException).getError() as { metadata: Metadata };
    const message = 'The access token needs the scope: a.';
    expect(status).toMatchObject({ code: 7, message, details: message });
    expect(headersOf(status)).toEqual({
      'www-authenticate': 'Bearer realm="users", error="insufficient_scope", scope="a"',
    });
  });

  it('has the time to retry, if the guard could not decide', () => {
    const call = callWith();
    const error = transport.refuse(contextOf({}, call.metadata, call), refuse('issuer_unavailable'), {});
    const status = (error as microservices.RpcException).getError() as { metadata: Metadata };
    expect(status).toMatchObject({ code: 14 });
    expect(headersOf(status)).toEqual({ 'retry-after': '30' });
  });

  it('without messages from Nest gets its status through its callback', () => {
    const call = callWith();
    const answers: object[] = [];
    const error = transport.refuse(
      contextOf(call, (answer: object) => answers.push(answer)),
      refuse('token_expired'),
      {},
    );
    expect(error).toEqual(new MessageRefusal(undefined));
    expect([answers.length, call.errors]).toEqual([1, []]);
    expect(answers[0]).toMatchObject({ code: 16 });
  });

  it('that is a stream without a callback gets its status as an error of the stream', () => {
    const call = callWith();
    expect(transport.refuse(contextOf(call), refuse('token_expired'), {})).toEqual(new MessageRefusal(undefined));
    expect(call.errors).toMatchObject([{ code: 16 }]);
  });
});

describe('the messages of a gRPC stream', () => {
  const streamWith = () => Object.assign(new PassThrough({ objectMode: true }), callWith());

  it('are held until they are released, if Nest reads them already', () => {
    const stream = streamWith();
    stream.on('data', () => undefined);
    const release = transport.hold(contextOf({}, stream.metadata, stream));
    expect(stream.isPaused()).toBe(true);
    release();
    expect(stream.isPaused()).toBe(false);
  });

  it('are left alone if nothing reads them', () => {
    const stream = streamWith();
    const release = transport.hold(contextOf(stream));
    release();
    expect([stream.isPaused(), stream.readableFlowing]).toEqual([false, null]);
  });

  it('are left alone if the stream is paused', () => {
    const stream = streamWith();
    stream.on('data', () => undefined);
    stream.pause();
    transport.hold(contextOf(stream))();
    expect(stream.isPaused()).toBe(true);
  });

  it('do not exist in a call with one message', () => {
    const call = callWith();
    expect(() => transport.hold(contextOf({}, call.metadata, call))()).not.toThrow();
  });
});
