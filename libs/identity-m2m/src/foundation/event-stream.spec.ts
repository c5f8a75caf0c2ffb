import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { EventStream } from './event-stream.js';

type Event = { readonly type: 'opened' } | { readonly type: 'closed'; readonly by: string };

const CHANNEL = 'nestjs-identity-m2m:event-stream-spec';
const closed: Event = { type: 'closed', by: 'a test' };

let events: EventStream<Event>;
beforeEach(() => {
  events = new EventStream();
});
afterEach(() => void jest.restoreAllMocks());

describe('a stream of events', () => {
  it('calls listeners in the order of their subscriptions, until they unsubscribe', () => {
    const calls: string[] = [];
    const end = events.subscribe(({ type }) => calls.push(`first ${type}`));
    events.subscribe(({ type }) => calls.push(`second ${type}`));
    events.emit({ type: 'opened' });
    end();
    events.emit(closed);
    expect(calls).toEqual(['first opened', 'second opened', 'second closed']);
  });

  it('calls a listener only with the types that it subscribed to', () => {
    const closers: string[] = [];
    events.subscribe(({ by }) => closers.push(by), ['closed']);
    events.emit({ type: 'opened' });
    events.emit(closed);
    expect(closers).toEqual(['a test']);
  });

  it('warns about a listener that throws or rejects, and calls the others', async () => {
    const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const received: Event[] = [];
    events.subscribe(() => {
      throw new Error('at once');
    });
    events.subscribe(() => Promise.reject(new Error('later')));
    events.subscribe((event) => received.push(event));
    events.emit(closed);
    await new Promise((resolve) => setImmediate(resolve));
    expect(received).toEqual([closed]);
    expect(warn.mock.calls.map(([text]) => text)).toEqual([
      'an event listener failed: at once',
      'an event listener failed: later',
    ]);
  });

  it('publishes on a diagnostics channel until that is ended', () => {
    const published: unknown[] = [];
    const listener = (event: unknown) => published.push(event);
    subscribe(CHANNEL, listener);
    events.emit({ type: 'opened' });
    const end = events.publishOn(CHANNEL);
    events.emit(closed);
    end();
    events.emit({ type: 'opened' });
    unsubscribe(CHANNEL, listener);
    expect(published).toEqual([closed]);
  });
});
