import { Metadata } from '@grpc/grpc-js';
import { describe, expect, it } from '@jest/globals';
import type { ClientGrpc } from '@nestjs/microservices';
import { lastValueFrom, map, Observable, of, Subject, throwError, toArray } from 'rxjs';
import { FixedTokenProvider } from '../../testing/fixed-token-provider.js';
import { AccessToken } from '../../token/access-token.js';
import { carrierOf } from '../token-carrier.js';
import { authorizeServices } from './authorized-services.js';

/** A provider whose token arrives when the test wants. */
class LateTokenProvider extends FixedTokenProvider {
  arrive!: () => void;
  readonly #token = new Promise<AccessToken>((resolve) => (this.arrive = () => resolve(new AccessToken('a-token'))));

  override peek(): never {
    return undefined as never;
  }

  override getToken(): Promise<AccessToken> {
    return this.#token;
  }
}

interface Directory {
  chat(messages: Observable<unknown>, ...others: unknown[]): Observable<unknown>;
  find(query: object, ...others: unknown[]): Observable<unknown>;
}

function setUp(provider: FixedTokenProvider = new FixedTokenProvider('a-token')) {
  const sent: unknown[][] = [];
  const service: Directory = {
    chat(messages, ...others) {
      sent.push(others);
      return messages;
    },
    find(query, ...others) {
      sent.push(others);
      return of(query);
    },
  };
  const grpc = { getService: () => service } as unknown as ClientGrpc;
  authorizeServices(grpc, {
    carrier: carrierOf(provider),
    receiver: 'grpc://receiver:1',
    token: undefined,
    replay: true,
    waits: new Set(),
  });
  return { sent, directory: grpc.getService<Directory>('Directory') };
}

const authorizationsOf = (sent: unknown[][]) => sent.map(([metadata]) => (metadata as Metadata).get('authorization'));

describe('a call of an authorized service', () => {
  it('carries the token in its metadata, before the other arguments', async () => {
    const { directory, sent } = setUp();
    await lastValueFrom(directory.find({}));
    await lastValueFrom(directory.find({}, { deadline: 1 }));
    await lastValueFrom(directory.find({}, new Metadata(), { deadline: 2 }));
    await lastValueFrom(directory.chat(of(1)));
    expect(authorizationsOf(sent)).toEqual(Array.from({ length: 4 }, () => ['Bearer a-token']));
    expect(sent.map(([, ...others]) => others)).toEqual([[], [{ deadline: 1 }], [{ deadline: 2 }], []]);
  });

  it('keeps the credential of the caller', async () => {
    const { directory, sent } = setUp();
    const metadata = new Metadata();
    metadata.set('authorization', 'Basic b3du');
    await lastValueFrom(directory.find({}, metadata));
    expect(sent).toEqual([[metadata]]);
    expect(authorizationsOf(sent)).toEqual([['Basic b3du']]);
  });
});

describe('a stream of requests', () => {
  const outcomeOf = (call: Observable<unknown>) => {
    const seen: unknown[] = [];
    call.subscribe({
      next: (value) => seen.push(value),
      error: (error) => seen.push({ error }),
      complete: () => seen.push('complete'),
    });
    return seen;
  };

  it('arrives whole and in order if the call waits for the token: messages before, during and after', async () => {
    const provider = new LateTokenProvider('unused');
    const { directory, sent } = setUp(provider);
    const said = new Subject<unknown>();
    const heard = outcomeOf(directory.chat(said));
    said.next('first');
    said.next('second');
    expect([heard, sent]).toEqual([[], []]);
    provider.arrive();
    await new Promise(setImmediate);
    expect(heard).toEqual(['first', 'second']);
    said.next('third');
    said.complete();
    expect(heard).toEqual(['first', 'second', 'third', 'complete']);
    expect(sent).toHaveLength(1);
  });

  it('may bring a message while those held back are passed on', async () => {
    const provider = new LateTokenProvider('unused');
    const { directory } = setUp(provider);
    const said = new Subject<number>();
    const call = directory.chat(said).pipe(
      map((value) => {
        if (value === 1) said.next(3);
        return value;
      }),
      toArray(),
    );
    const heard = lastValueFrom(call);
    said.next(1);
    said.next(2);
    provider.arrive();
    await new Promise(setImmediate);
    said.complete();
    expect(await heard).toEqual([1, 2, 3]);
  });

  it('that fails during the wait fails the call, after the messages before', async () => {
    const provider = new LateTokenProvider('unused');
    const { directory } = setUp(provider);
    const said = new Subject<unknown>();
    const heard = outcomeOf(directory.chat(said));
    const error = new Error('the stream broke');
    said.next('first');
    said.error(error);
    provider.arrive();
    await new Promise(setImmediate);
    expect(heard).toEqual(['first', { error }]);
  });

  it('that ended or failed at once does so for the receiver after the wait', async () => {
    const provider = new LateTokenProvider('unused');
    const { directory } = setUp(provider);
    const ended = outcomeOf(directory.chat(of(1, 2)));
    const failed = outcomeOf(directory.chat(throwError(() => 'no')));
    provider.arrive();
    await new Promise(setImmediate);
    expect(ended).toEqual([1, 2, 'complete']);
    expect(failed).toEqual([{ error: 'no' }]);
  });
});
