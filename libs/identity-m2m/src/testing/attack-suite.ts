import { request } from 'node:http';
import { request as secureRequest } from 'node:https';
import { ATTACKER_PATHS } from './attacker.js';
import { type ForgeryMaterial, forgeryMaterial } from './forged-token.js';
import { forgedFrom } from './forged-tokens.js';
import type { TestIssuer, TestTokenOptions } from './test-issuer.js';

/** Options of {@link attackSuite}. */
export interface AttackSuiteOptions {
  /** An issuer that the attacked application trusts. */
  readonly issuer: TestIssuer;
  /** A token of the issuer that the application accepts, with the scopes that the route requires. */
  readonly accepted: TestTokenOptions;
  /** A guarded route that responds to a valid token with 2xx. Default: `/`. */
  readonly path?: string;
  /** HTTP method of the route. Default: `GET`. */
  readonly method?: string;
  /** Number of concurrent attacks. Default: 8. */
  readonly concurrency?: number;
}

/** The outcome of one attack. */
export interface AttackOutcome {
  readonly id: string;
  readonly attack: string;
  /** HTTP status of the response; undefined if the application closed the connection. */
  readonly status: number | undefined;
}

/** The outcome of all attacks. */
export interface AttackReport {
  /** Number of attacks that were made. */
  readonly made: number;
  /** Attacks that the application accepted: each is a vulnerability. */
  readonly accepted: readonly AttackOutcome[];
  /** Attacks that caused a server error (5xx other than 503), because the application did not expect them. */
  readonly crashed: readonly AttackOutcome[];
  /** Attacks whose response contains a part of the token. */
  readonly echoed: readonly AttackOutcome[];
  /** Paths of the attacker that the application requested because a token named them. */
  readonly lured: readonly string[];
}

/** A listening Nest application, or its base URL. */
export type AttackTarget = string | { getUrl(): Promise<string> };

/**
 * Attacks an application with tokens and requests that no guard may accept, and reports what it got wrong.
 *
 * @example
 * const accepted = { clientId: 'billing', audience: 'my-api' };
 * const report = await attackSuite(app, { issuer, accepted, path: '/users' });
 * expect(report.accepted).toEqual([]);
 *
 * @throws Error if the application refuses a valid token: it would then refuse every attack for the same reason.
 */
export async function attackSuite(target: AttackTarget, options: AttackSuiteOptions): Promise<AttackReport> {
  const { issuer, accepted, path = '/', method = 'GET', concurrency = 8 } = options;
  const base = typeof target === 'string' ? target : await target.getUrl();
  const url = new URL(path, base.replace('[::1]', 'localhost'));
  const good = await issuer.tokenFor(accepted);
  const material = await forgeryMaterial(issuer, accepted);
  const requireGood = async (when: string, token = good) => {
    const { status } = await send(url, method, [['Authorization', `Bearer ${token}`]]);
    if (status === undefined || status < 200 || status > 299) {
      throw new Error(
        `The attack suite found no working route: ${when}, ${method} ${url.href} answered a valid token with ${status ?? 'no response'} (expected 2xx). Let the application trust the issuer, and name the client, audience and scopes that the route accepts.`,
      );
    }
  };
  await requireGood('at the start');
  await requireGood('before it was forged', material.token);
  const attacks = [...(await tokenAttacks(material)), ...carriageAttacks(good, url)];
  const outcomes: (AttackOutcome & { readonly echoes: boolean })[] = [];
  const waiting = [...attacks];
  const attackInTurn = async () => {
    for (let attack = waiting.shift(); attack; attack = waiting.shift()) {
      const { id, name, headers } = attack;
      const answer = await send(attack.url ?? url, method, headers);
      outcomes.push({
        id,
        attack: name,
        status: answer.status,
        echoes: attack.marks.some((mark) => answer.text.includes(mark)),
      });
    }
  };
  await Promise.all(Array.from({ length: concurrency }, attackInTurn));
  await requireGood('at the end');
  const reported = (kept: (outcome: (typeof outcomes)[number]) => boolean): AttackOutcome[] =>
    outcomes.filter(kept).map(({ id, attack, status }) => ({ id, attack, status }));
  return {
    made: outcomes.length,
    accepted: reported(({ status }) => status !== undefined && status < 400),
    crashed: reported(({ status }) => status !== undefined && status >= 500 && status !== 503),
    echoed: reported(({ echoes }) => echoes),
    lured: issuer.publishedPathsAsked.filter((path) => attackersPaths.has(path)),
  };
}

type Headers = readonly (readonly [name: string, value: string])[];

interface Attack {
  readonly id: string;
  readonly name: string;
  readonly headers: Headers;
  readonly url?: URL;
  /** Strings that must not be in the response. */
  readonly marks: readonly string[];
}

const attackersPaths = new Set<string>(Object.values(ATTACKER_PATHS));

async function tokenAttacks(material: ForgeryMaterial): Promise<Attack[]> {
  const forged = await forgedFrom(material);
  return (
    forged
      // No client can send characters that an HTTP header can't hold.
      .filter(({ token }) => /^[\x20-\x7e\u00a0-\u00ff]*$/.test(token) && token.length < 15_000)
      .map(({ id, attack, token }) => ({
        id,
        name: attack,
        headers: [['Authorization', `Bearer ${token}`]],
        marks: token.length > 40 ? [token.slice(0, 40), token.slice(-40)] : [],
      }))
  );
}

/** Attacks with a valid token in the wrong place, or in an ambiguous form: RFC 6750 §2 and §3.1. */
function carriageAttacks(good: string, url: URL): Attack[] {
  const bearer = `Bearer ${good}`;
  const marks = [good.slice(-40)];
  const attack = (id: string, name: string, headers: Headers, at?: URL): Attack => ({
    id,
    name,
    headers,
    marks,
    ...(at && { url: at }),
  });
  const inQuery = new URL(url);
  inQuery.searchParams.set('access_token', good);
  return [
    attack('H1', 'two Authorization headers, good and bad', [
      ['Authorization', bearer],
      ['Authorization', 'Bearer bad'],
    ]),
    attack('H1', 'two Authorization headers, bad and good', [
      ['Authorization', 'Bearer bad'],
      ['Authorization', bearer],
    ]),
    attack('H1', 'the same Authorization header twice', [
      ['Authorization', bearer],
      ['Authorization', bearer],
    ]),
    attack('H1', 'two Authorization headers in two spellings', [
      ['Authorization', bearer],
      ['authorization', bearer],
    ]),
    attack('H2', 'two tokens joined by a comma', [['Authorization', `${bearer}, ${bearer}`]]),
    attack('H2', 'two tokens joined by a space', [['Authorization', `${bearer} ${good}`]]),
    attack('H2', 'no scheme', [['Authorization', good]]),
    attack('H2', 'the token as Basic', [['Authorization', `Basic ${good}`]]),
    attack('H2', 'the token as password of Basic', [
      ['Authorization', `Basic ${Buffer.from(`client:${good}`).toString('base64')}`],
    ]),
    attack('H2', 'the token as DPoP without a proof', [['Authorization', `DPoP ${good}`]]),
    attack('H2', 'the token as a parameter', [['Authorization', `Bearer token="${good}"`]]),
    attack('H2', 'a scheme without a token', [['Authorization', 'Bearer']]),
    attack('H2', 'a scheme and 8,000 spaces', [['Authorization', `Bearer${' '.repeat(8000)}x`]]),
    attack('H3', 'in the query', [], inQuery),
    attack('H3', 'in the header and in the query', [['Authorization', 'Bearer bad']], inQuery),
    attack('H3', 'in a cookie', [['Cookie', `access_token=${good}; token=${good}; authorization=${bearer}`]]),
    attack('H3', 'in X-Forwarded-Authorization', [['X-Forwarded-Authorization', bearer]]),
    attack('H3', 'in X-Access-Token', [['X-Access-Token', good]]),
    attack('H3', 'in Proxy-Authorization', [['Proxy-Authorization', bearer]]),
    attack('H5', 'no credential', []),
    attack('H9', 'a method override in headers', [
      ['X-HTTP-Method-Override', 'OPTIONS'],
      ['X-Method-Override', 'OPTIONS'],
    ]),
    attack('H9', 'a request that looks like a preflight', [
      ['Origin', 'https://a.example'],
      ['Access-Control-Request-Method', 'GET'],
    ]),
  ];
}

/** Sends a request with Node's own client, which keeps repeated headers. */
function send(url: URL, method: string, headers: Headers): Promise<{ status: number | undefined; text: string }> {
  return new Promise((resolve) => {
    const start = url.protocol === 'https:' ? secureRequest : request;
    const call = start(url, { method, agent: false, setHost: false, headers: flat(url, headers), timeout: 10_000 });
    const giveUp = () => resolve({ status: undefined, text: '' });
    call.on('error', giveUp);
    call.on('timeout', () => call.destroy());
    call.on('response', (response) => {
      let text = response.rawHeaders.join('\n');
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('error', giveUp);
      response.on('end', () => resolve({ status: response.statusCode, text }));
    });
    call.end();
  });
}

/** Returns a flat list of headers, which keeps repetitions and spelling. */
function flat(url: URL, headers: Headers): string[] {
  return ['Host', url.host, ...headers.flat()];
}
