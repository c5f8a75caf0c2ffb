import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Logger } from '@nestjs/common';
import {
  type AccessTokenVerifier,
  createAccessTokenVerifier,
  genericOAuth2,
  AccessDecisions,
  type RefusalReason,
  type RoutePolicy,
} from 'nestjs-identity-m2m';
// From inside: the log lines of a guard are read without a Nest application.
import { logInboundEvents, logVerificationEvents } from '../libs/identity-m2m/src/telemetry/inbound-log.js';
import { forge, ForgeableIssuer, forgingKey } from './support/forgeable-issuer.js';
import { json } from './support/http-server.js';
import { recordLog } from './support/recorded-log.js';
import { ManualClock } from 'nestjs-identity-m2m/testing';

const NOW = new Date('2030-01-01T00:00:00Z').getTime() / 1000;
const ANY_ROUTE: RoutePolicy = { scopes: [], clients: undefined };
const key = forgingKey('ES256', 'k');

let issuers: ForgeableIssuer[];
let clock: ManualClock;
let verifier: AccessTokenVerifier;
let decisions: AccessDecisions;
let lines: string[];

beforeEach(async () => {
  lines = recordLog(['log', 'warn', 'error']);
  issuers = [await ForgeableIssuer.start(), await ForgeableIssuer.start()];
  for (const issuer of issuers) issuer.keys = [key.jwk];
  clock = new ManualClock(new Date(NOW * 1000), () => new Promise((resolve) => setTimeout(resolve, 15)));
  verifier = createAccessTokenVerifier(
    {
      issuers: issuers.map(({ url }) => genericOAuth2({ issuer: url })),
      audience: 'users-api',
      introspection: [{ issuer: issuers[0]!.url, clientId: 'users-api', clientSecret: 'secret' }],
    },
    { clock, production: false },
  );
  decisions = new AccessDecisions(verifier);
  logInboundEvents(decisions.events);
  logVerificationEvents(verifier.events);
});
afterEach(async () => {
  Logger.overrideLogger(false);
  verifier.close();
  for (const issuer of issuers) await issuer.close();
});

const tokenOf = ({ url }: ForgeableIssuer, header: object = {}) =>
  forge(key, { iss: url, aud: 'users-api', client_id: 'a', sub: 'a', iat: NOW, exp: NOW + 300 }, header);

async function outcome(token: string): Promise<string> {
  const verdict = await decisions.decide({ ok: true, token }, ANY_ROUTE, 'http');
  return verdict.ok ? 'accepted' : verdict.reason;
}

describe('the guard’s log', () => {
  it('warns once that RabbitMQ may lose valid messages, when that happens', () => {
    const dead = (reason: RefusalReason) =>
      decisions.settled({ type: 'message.dead_lettered', transport: 'rabbitmq', reason });
    dead('token_expired');
    expect(lines).toEqual([]);
    for (let message = 0; message < 20; message++) dead('issuer_unavailable');
    expect(lines).toEqual([expect.stringContaining('a queue without a dead letter exchange loses them')]);
  });

  it('has one line for an outage of an issuer, however many forged tokens come between valid ones', async () => {
    const [issuer] = issuers as [ForgeableIssuer];
    const good = tokenOf(issuer);
    expect(await outcome(good)).toBe('accepted');
    issuer.keySetAnswer = json(500, {});
    await clock.advance(30_000);
    lines.length = 0;
    for (let forged = 0; forged < 20; forged++) {
      expect(await outcome(tokenOf(issuer, { kid: `made-up-${forged}` }))).toBe('issuer_unavailable');
      expect(await outcome(good)).toBe('accepted');
    }
    expect(lines).toEqual([expect.stringContaining('warn: guard: the keys of')]);
  });

  it('has one line for an outage of one of two issuers, however the calls of both alternate', async () => {
    const [up, down] = issuers as [ForgeableIssuer, ForgeableIssuer];
    down.keySetAnswer = json(500, {});
    const [good, other] = [tokenOf(up), tokenOf(down)];
    await outcome(good);
    lines.length = 0;
    for (let pair = 0; pair < 20; pair++) {
      expect([await outcome(good), await outcome(other)]).toEqual(['accepted', 'issuer_unavailable']);
    }
    expect(lines).toEqual([expect.stringContaining(`warn: guard: the keys of ${down.url} could not be read`)]);
  });

  it('has no line for tokens that an issuer fails on, and one if introspection fails for all', async () => {
    const [issuer] = issuers as [ForgeableIssuer];
    issuer.introspectionAnswer = (...request) =>
      (request[0].body.includes('token=odd-') ? json(500, {}) : json(200, { active: false }))(...request);
    for (let odd = 0; odd < 20; odd++) {
      await outcome(`odd-${odd}`);
      await outcome(`unknown-${odd}`);
    }
    for (let more = 0; more < 20; more++) {
      await outcome(`odd-too-${more}`);
      await clock.advance(30_000);
    }
    expect(lines).toEqual([]);
    issuer.introspectionAnswer = json(500, {});
    for (let more = 0; more < 20; more++) {
      await outcome(`unknown-too-${more}`);
      await clock.advance(30_000);
    }
    issuer.introspectionAnswer = json(200, { active: false });
    await outcome('another');
    expect(lines).toEqual([
      `warn: guard: introspection at ${issuer.url} failed; next attempt in 1 s: introspection at ${issuer.url}/introspect returned HTTP 500`,
      `log: guard: introspection at ${issuer.url} works again`,
    ]);
  });

  it('has one line if an issuer has never answered, and none for tokens that it rejects later', async () => {
    const [issuer] = issuers as [ForgeableIssuer];
    issuer.introspectionAnswer = json(404, {});
    for (let token = 0; token < 20; token++) await outcome(`early-${token}`);
    expect(lines).toEqual([expect.stringContaining('rejected the introspection of one opaque token')]);
    issuer.introspectionAnswer = json(200, { active: false });
    await outcome('known');
    issuer.introspectionAnswer = json(403, {});
    for (let token = 0; token < 20; token++) await outcome(`late-${token}`);
    expect(lines).toHaveLength(1);
  });
});
