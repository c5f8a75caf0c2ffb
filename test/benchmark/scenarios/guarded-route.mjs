// Requests per second of a trivial route behind a guard, against the same route behind one that only returns true.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import autocannon from 'autocannon';
import { startIssuer } from '../issuer.mjs';

const TOKENS = { 'one token': 1, '1,000 tokens': 1000, 'every token distinct': 12_000 };
const CONTENDERS = [
  'no guard',
  'a guard that returns true',
  'identity-m2m',
  'fast-jwt with cache',
  'jose, remote key set',
  'jsonwebtoken + jwks-rsa',
  'passport-jwt',
];

const scenario = (platform, kind) => ({
  title: `A guarded route on ${platform === 'express' ? 'Express' : 'Fastify'}, RS256, ${kind}`,
  reference: 'a guard that returns true',
  contenders: platform === 'express' ? [...CONTENDERS, 'express-oauth2-jwt-bearer'] : CONTENDERS,
  rounds: 5,
  unit: 'requests/s',
  value: ({ perSecond }) => perSecond,
  async measure({ contender }) {
    const issuer = await startIssuer('RS256');
    const requests = issuer.tokens(TOKENS[kind]).map((token) => ({ headers: { authorization: `Bearer ${token}` } }));
    const server = fork(new URL('../guarded-server.mjs', import.meta.url), [
      platform,
      contender,
      JSON.stringify(issuer),
    ]);
    const [{ url }] = await once(server, 'message');
    const attack = (duration) => autocannon({ url: `${url}/things`, connections: 50, duration, requests });
    await attack(2);
    const { requests: measured, non2xx } = await attack(4);
    if (non2xx > 0) throw new Error(`${non2xx} requests were refused`);
    server.disconnect();
    return { perSecond: measured.average };
  },
});

export const guardedRoute = Object.fromEntries(
  ['express', 'fastify'].flatMap((platform) =>
    Object.keys(TOKENS).map((kind, index) => [
      `guard-${platform}-${['one', '1000', 'distinct'][index]}`,
      scenario(platform, kind),
    ]),
  ),
);
