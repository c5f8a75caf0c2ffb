// Requests per second of a trivial route behind a guard, against the same route behind one that only returns true.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import autocannon from 'autocannon';
import { startIssuer } from '../issuer.mjs';

const DISTINCT = 'every token distinct';
const TOKENS = { 'one token': 1, '1,000 tokens': 1000, [DISTINCT]: 20_000 };
/** The number of distinct tokens sent before the measurement. */
const WARM_UP = 5000;
const CONNECTIONS = 50;
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
    const attack = async (shown, limit) => {
      let connection = 0;
      let answers = 0;
      let last;
      const setupClient = (client) => {
        client.setRequests(shareOf(shown, connection++, kind));
        client.on('response', () => {
          answers += 1;
          last = performance.now();
        });
      };
      const first = performance.now();
      const { non2xx } = await autocannon({ url: `${url}/things`, connections: CONNECTIONS, setupClient, ...limit });
      if (non2xx > 0) throw new Error(`${non2xx} requests were refused`);
      return answers / ((last - first) / 1000);
    };
    // If no token may be sent twice, each connection sends its share of them and ends.
    const limits =
      kind === DISTINCT
        ? [{ amount: WARM_UP }, { amount: requests.length - WARM_UP }]
        : [{ duration: 2 }, { duration: 4 }];
    const parts = kind === DISTINCT ? [requests.slice(0, WARM_UP), requests.slice(WARM_UP)] : [requests, requests];
    await attack(parts[0], limits[0]);
    const perSecond = await attack(parts[1], limits[1]);
    server.disconnect();
    return { perSecond };
  },
});

/** The tokens of a connection: none at the same time as the others, and of distinct ones none of another's. */
function shareOf(requests, connection, kind) {
  const at = Math.floor((connection * requests.length) / CONNECTIONS);
  if (kind === DISTINCT) return requests.slice(at, at + requests.length / CONNECTIONS);
  return [...requests.slice(at), ...requests.slice(0, at)];
}

export const guardedRoute = Object.fromEntries(
  ['express', 'fastify'].flatMap((platform) =>
    Object.keys(TOKENS).map((kind, index) => [
      `guard-${platform}-${['one', '1000', 'distinct'][index]}`,
      scenario(platform, kind),
    ]),
  ),
);
