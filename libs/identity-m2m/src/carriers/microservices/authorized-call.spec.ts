import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { lastValueFrom, of, throwError } from 'rxjs';
import { systemClock } from '../../foundation/clock.js';
import { FixedTokenProvider } from '../../testing/fixed-token-provider.js';
import type { ResourceServerResponse } from '../../token/token-rejection.js';
import { carrierOf, TokenCarrier } from '../token-carrier.js';
import { type AuthorizedClient, authorizedCall, redactToken } from './authorized-call.js';

/** Makes a call that fails with this error, by a provider that has a newer token by then. */
async function callThatFailsWith(error: unknown, carrier?: (provider: FixedTokenProvider) => TokenCarrier) {
  const provider = new FixedTokenProvider('first-token');
  const client: AuthorizedClient = {
    carrier: (carrier ?? carrierOf)(provider),
    receiver: 'tcp://receiver:3000',
    token: undefined,
    replay: true,
    waits: new Set(),
  };
  const sent: string[] = [];
  const call = authorizedCall(client, {
    isReplayable: true,
    exchange(authorization) {
      sent.push(authorization);
      if (sent.length > 1) return of('a response');
      provider.replaceToken('second-token');
      return throwError(() => error);
    },
  });
  const result = await lastValueFrom(call).catch((thrown: unknown) => ({ thrown }));
  return { result, sent };
}

describe('a call that fails', () => {
  test.each([[undefined], [null], ['no'], [5], [false], [{ code: 4 }], [[16]]])(
    'fails with what the receiver or the client of the broker threw, of any type: %p',
    async (error) => {
      const { result, sent } = await callThatFailsWith(error);
      expect(result).toEqual({ thrown: error });
      expect(sent).toHaveLength(1);
    },
  );

  const trailer = (...challenges: unknown[]) => ({
    get: (key: string) => (key === 'www-authenticate' ? challenges : []),
  });

  test.each<[string, object, boolean]>([
    ['status 16', { code: 16 }, true],
    ['UNAUTHENTICATED', { code: 'UNAUTHENTICATED' }, true],
    ['the code of an error object', Object.assign(new Error('no'), { code: 16 }), true],
    ['another status', { code: 7 }, false],
    ['the status as a string', { code: '16' }, false],
    ['no code', { error: 'invalid_token' }, false],
    ['an invalid token', { code: 16, error: 'invalid_token' }, true],
    ['a missing scope', { code: 16, error: 'insufficient_scope' }, false],
    ['a reason that is no string', { code: 16, error: ['insufficient_scope'] }, true],
    ['a missing scope in the trailer', { code: 16, metadata: trailer('Bearer error="insufficient_scope"') }, false],
    ['a missing scope last in the trailer', { code: 16, metadata: trailer('a', 'error="insufficient_scope"') }, false],
    ['an empty trailer', { code: 16, metadata: trailer() }, true],
    ['metadata of another kind', { code: 16, metadata: { get: 'insufficient_scope' } }, true],
    ['metadata that returns no list', { code: 16, metadata: { get: () => 'error="insufficient_scope"' } }, true],
    ['metadata that is null', { code: 16, metadata: null }, true],
  ])('is sent once more with a newer token if the error rejects the first: %s', async (_name, error, isRejection) => {
    const { result, sent } = await callThatFailsWith(error);
    expect(result).toEqual(isRejection ? 'a response' : { thrown: error });
    expect(sent).toEqual(['Bearer first-token', ...(isRejection ? ['Bearer second-token'] : [])]);
  });

  test.each<[unknown, ResourceServerResponse]>([
    ['expired', { status: 500, headers: {}, body: 'expired' }],
    [
      { code: 16, error: 'e' },
      { status: 401, headers: { 'www-authenticate': 'error="e"' }, body: '{"code":16,"error":"e"}' },
    ],
    [Object.assign(new Error('no'), { at: 1 }), { status: 500, headers: {}, body: '{"at":1,"message":"no"}' }],
    [null, { status: 500, headers: {}, body: '' }],
  ])('is judged by a predicate, which gets the error in HTTP terms: %p', async (error, response) => {
    const judged: ResourceServerResponse[] = [];
    const isTokenRejected = (response: ResourceServerResponse) => judged.push(response) > 0;
    const { result } = await callThatFailsWith(
      error,
      (provider) => new TokenCarrier(provider, systemClock, { maxBytes: 1, isTokenRejected }),
    );
    expect(judged).toEqual([response]);
    expect(result).toBe('a response');
  });
});

const TOKEN = 'secret|+/="\\token';

describe('the token in an error', () => {
  it('is redacted in the message, the stack, the causes and all members that are plain data', () => {
    const error = Object.assign(new Error(`refused ${TOKEN}`, { cause: new Error(TOKEN) }), {
      details: TOKEN,
      list: [{ deeper: TOKEN }, Object.assign(Object.create(null) as object, { deeper: TOKEN })],
      others: [5, null, undefined, true],
    });
    const { stack } = error;
    expect(redactToken(error, TOKEN)).toBe(error);
    expect(error.message).toBe('refused [access token]');
    expect(error.stack).toBe(stack!.replace(TOKEN, '[access token]'));
    expect(error.cause).toMatchObject({ message: '[access token]' });
    expect(error).toMatchObject({
      details: '[access token]',
      list: [{ deeper: '[access token]' }, { deeper: '[access token]' }],
      others: [5, null, undefined, true],
    });
  });

  it('is redacted in an error that is a string', () => {
    expect(redactToken(`${TOKEN}, again ${TOKEN}.`, TOKEN)).toBe('[access token], again [access token].');
  });

  test.each([[undefined], [null], [5], [false]])('is not in an error of another type: %p', (error) => {
    expect(redactToken(error, TOKEN)).toBe(error);
  });

  it('stays in objects that are no plain data: they may serve other calls', () => {
    class Connection {
      readonly queue = [TOKEN];
    }
    const error = { connection: new Connection(), map: new Map([[1, TOKEN]]), again: TOKEN };
    redactToken(error, TOKEN);
    expect([error.connection.queue, error.map.get(1), error.again]).toEqual([[TOKEN], TOKEN, '[access token]']);
  });

  it('runs no accessor of the error', () => {
    const error = Object.defineProperty({ text: TOKEN }, 'first', {
      enumerable: true,
      get() {
        throw new Error('the accessor ran');
      },
    });
    redactToken(error, TOKEN);
    expect(error.text).toBe('[access token]');
    const plain = Object.defineProperty({}, 'stack', { get: () => expect(true).toBe(false) });
    redactToken(plain, TOKEN);
  });

  it('is searched in 200 objects, each of them once', () => {
    const list = Array.from({ length: 300 }, () => ({ text: TOKEN }));
    const error = { list: [list[0]!, list[0]!, ...list.slice(1)] };
    redactToken(error, TOKEN);
    expect(list.filter(({ text }) => text === TOKEN)).toHaveLength(102);
    expect(list[197]!.text).toBe('[access token]');
    expect(list[198]!.text).toBe(TOKEN);
  });

  it('does not end the search of an error that leads back to itself', () => {
    const error: { self?: object; last: object[] } = { last: [{ text: TOKEN }] };
    error.self = error;
    redactToken(error, TOKEN);
    expect(error.last).toEqual([{ text: '[access token]' }]);
  });
});

describe('a spelling of the token', () => {
  const hex = (character: string) => character.charCodeAt(0).toString(16).padStart(2, '0');
  const other = /[^a-z\d]/gi;

  /** How a writer of text escapes a string of visible ASCII characters. */
  const escapes: Readonly<Record<string, (text: string) => string>> = {
    'a part of a URL': encodeURIComponent,
    'a form': (text) => new URLSearchParams([['', text]]).toString().slice(1),
    'a URL that escapes all characters': (text) => text.replaceAll(other, (character) => `%${hex(character)}`),
    JSON: (text) => JSON.stringify(text).slice(1, -1),
    'JSON of PHP': (text) => JSON.stringify(text).slice(1, -1).replaceAll('/', '\\/'),
    'JSON of Gson': (text) =>
      JSON.stringify(text)
        .slice(1, -1)
        .replaceAll(/[<>&='/]/g, (found) => `\\u00${hex(found)}`),
  };
  const all = (text: string) => text.replaceAll(other, (found) => `\\u00${hex(found).toUpperCase()}`);

  const tokens = fc.stringMatching(/^[a-zA-Z\d][!-~]{8,40}[a-zA-Z\d]$/);
  const writers = fc.array(fc.constantFrom(...Object.keys(escapes)), { maxLength: 4 });

  it('is found in any encoding of URLs and JSON, and in encodings of encodings', () => {
    fc.assert(
      fc.property(tokens, writers, (token, names) => {
        const written = (text: string) => names.reduce((from, name) => escapes[name]!(from), text);
        const text = written(`"${token}" and ${token}, no more`);
        const [quote, and, end] = ['"', '" and ', ', no more'].map(written);
        expect(redactToken(text, token)).toBe(`${quote}[access token]${and}[access token]${end}`);
      }),
      { numRuns: 5000 },
    );
  });

  it('is found in JSON that escapes all characters, and in JSON and URLs around it', () => {
    fc.assert(
      fc.property(tokens, fc.constantFrom(...Object.values(escapes)), (token, around) => {
        expect(redactToken(`"${all(token)}"`, token)).toBe('"[access token]"');
        expect(redactToken(around(all(token)), token)).toBe('[access token]');
        expect(redactToken(all(around(token)), token)).toBe('[access token]');
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    ['secret|token', 'secret%7Ctoken'],
    ['secret|token', 'secret%7ctoken'],
    ['secret|token', 'secret%2525257Ctoken'],
    ['secret|token', 'secret\\u007Ctoken'],
    ['secret|token', 'secret\\\\\\u007ctoken'],
    ['secret|token', 'secret\\\\u00257ctoken'],
    ['secret|token', 'secret\\u00252525257Ctoken'],
    ['secret|token', 'secret%5Cu007ctoken'],
    ['secret|token', 'secret%255C%255cu007ctoken'],
    ['secret=token', 'secret%5C%5Cu00253dtoken'],
    ['secret\\token', 'secret\\\\\\\\token'],
    ['secret\\token', 'secret\\u005ctoken'],
    ['secret\\token', 'secret%5C%5Ctoken'],
    ['secret\\token', 'secret\\u005c\\u005ctoken'],
    ['secret\\token', 'secret\\u005cu005ctoken'],
    ['secret\\token', 'secret%5cu00255ctoken'],
    ['secret|token', 'secret\\u005Cu007ctoken'],
    ['secret|token', 'secret\\u00255Cu007ctoken'],
    ['secret"token', 'secret%5C%22token'],
    ['secret+token', 'secret token'],
    ['secret+token', 'secret%20token'],
    ['secret%token', 'secret%2525token'],
    ['secret%token', 'secret\\u0025token'],
    ['secret|a|token', 'secret%7Ca\\u007ctoken'],
  ])('is %s as %s', (token, spelling) => {
    expect(redactToken(`no ${spelling}, nor ${spelling}`, token)).toBe('no [access token], nor [access token]');
  });

  test.each([
    ['secret|token', 'secret%7token'],
    ['secret|token', 'secret%token'],
    ['secret|token', 'secret7Ctoken'],
    ['secret|token', 'secret%257token'],
    ['secret|token', 'secretu007ctoken'],
    ['secret|token', 'secret\\u7ctoken'],
    ['secret|token', 'secret\\u017ctoken'],
    ['secret|token', 'secret-token'],
    ['secret|token', 'SECRET|TOKEN'],
    ['secret|token', 'secret|toke'],
    ['secretztoken', 'secret\\u00zztoken'],
  ])('of %s is not %s', (token, text) => {
    expect(redactToken(`${text} 5 % \\ \\\\ of "it"`, token)).toBe(`${text} 5 % \\ \\\\ of "it"`);
  });

  it('of a token without letters and digits is found too, if it is more than backslashes', () => {
    expect(redactToken('no %7C%7C%7C%7C%7C%7C%7C%7C', '||||||||')).toBe('no [access token]');
    expect(redactToken('\\\\\\\\\\\\\\\\', '\\\\\\\\\\\\\\\\')).toBe('\\\\\\\\\\\\\\\\');
  });

  it('of fewer than eight characters is redacted only after the scheme', () => {
    expect(redactToken('Bearer seven-7 or seven-7', 'seven-7')).toBe('Bearer [access token] or seven-7');
    expect(redactToken('Bearer eight--8 or eight--8', 'eight--8')).toBe('Bearer [access token] or [access token]');
  });

  const secondsFor = (text: string, token: string) => {
    const begin = performance.now();
    redactToken(text, token);
    return (performance.now() - begin) / 1000;
  };

  it('is not looked for where its longest part without escapes is missing, because that takes time', () => {
    const parts = 'a-|onges7-c-longe-t7-'.repeat(1_000_000);
    expect(secondsFor(parts, 'a-longest7-c')).toBeLessThan(0.5);
  });

  test.each([
    ['backslashes', '\\'],
    ['escaped backslashes', '%5c'],
    ['percent signs', '%25'],
    ['percent signs of JSON', '\\u0025'],
    ['escapes of escapes', '25'],
    ['broken escapes', '\\u00'],
  ])('is found in linear time: %s', (_name, repeated) => {
    expect(secondsFor(`%${repeated.repeat(300_000)}secret-token`, 'secret-token')).toBeLessThan(3);
  });
});
