import { describe, expect, it } from '@jest/globals';
import { ClientProxy, ClientTCP, type ReadPacket, type WritePacket } from '@nestjs/microservices';
import { lastValueFrom, toArray } from 'rxjs';
import { FixedTokenProvider } from '../../testing/fixed-token-provider.js';
import { carrierOf } from '../token-carrier.js';
import { authorizeMessages } from './authorized-messages.js';
import { tokenPlaceOf } from './token-place.js';

/** A client whose receiver is in this process: it keeps the packets, and responds as the test wants. */
class LocalClient extends ClientProxy {
  readonly sent: ReadPacket[] = [];
  responses: WritePacket[] = [{ response: 1 }, { response: 2, isDisposed: true }];
  closed = 0;

  async connect() {}

  close() {
    this.closed += 1;
  }

  unwrap(): never {
    throw new Error('no server');
  }

  publish(packet: ReadPacket, callback: (response: WritePacket) => void) {
    this.sent.push(packet);
    for (const response of this.responses) callback(response);
    return () => {};
  }

  async dispatchEvent<T>(packet: ReadPacket): Promise<T> {
    this.sent.push(packet);
    return 'dispatched' as T;
  }
}

function setUp() {
  const client = new LocalClient();
  const provider = new FixedTokenProvider('a-token');
  const waits = new Set<AbortController>();
  const place = tokenPlaceOf(new ClientTCP({}))!;
  const carrier = carrierOf(provider);
  authorizeMessages(client, place, { carrier, receiver: 'tcp://receiver', token: undefined, replay: true, waits });
  return { client, waits };
}

const metadata = { authorization: 'Bearer a-token' };

describe('a message of an authorized client', () => {
  it('carries the token, as a call and as an event', async () => {
    const { client } = setUp();
    expect(await lastValueFrom(client.send('users', 1).pipe(toArray()))).toEqual([1, 2]);
    expect(await lastValueFrom(client.emit('noted', 2))).toBe('dispatched');
    expect(client.sent).toMatchObject([
      { pattern: 'users', data: 1, metadata },
      { pattern: 'noted', data: 2, metadata },
    ]);
  });

  it('keeps the credential of the caller, as a call and as an event', async () => {
    const { client } = setUp();
    const own = { Authorization: 'Basic b3du' };
    client.setOnDispatchHook((packet) => (packet.metadata = own));
    await lastValueFrom(client.send('users', 1));
    await lastValueFrom(client.emit('noted', 2));
    expect(client.sent.map((packet) => packet.metadata)).toEqual([own, own]);
  });

  it('fails with the error of the receiver, as a call', async () => {
    const { client } = setUp();
    const error = { code: 7 };
    client.responses = [{ err: error }];
    await expect(lastValueFrom(client.send('users', 1))).rejects.toBe(error);
  });
});

describe('an authorized client', () => {
  it('ends the waits for a token when it closes, and closes', () => {
    const { client, waits } = setUp();
    const wait = new AbortController();
    waits.add(wait);
    client.close();
    expect(wait.signal.reason).toEqual(new Error('Connection closed'));
    expect(client.closed).toBe(1);
  });

  it('closes with the application only if it did before, and sends no batches if its transport has none', () => {
    const { client } = setUp();
    expect(client).not.toHaveProperty('onApplicationShutdown');
    expect(client).not.toHaveProperty('dispatchBatchEvent');
  });
});
