// Verifications one after another.
import { verifiers } from '../contenders/verifiers.mjs';
import { startIssuer } from '../issuer.mjs';

const MEASURED_MS = 2000;
const ALL = ['identity-m2m', 'jose, remote key set', 'fast-jwt', 'fast-jwt with cache', 'jsonwebtoken + jwks-rsa'];
/** More than any contender caches, so that none of them gets a cached one. */
const DISTINCT_TOKENS = 12_000;

const scenario = (alg, kind) => ({
  title: `Verifications one after another, ${alg}, ${kind === 'warm' ? 'one token' : 'every token distinct'}`,
  reference: 'jose, remote key set',
  // jsonwebtoken does not support EdDSA; without its cache fast-jwt is the same for one token as for many.
  contenders: ALL.filter((name) => !(alg === 'EdDSA' && name.startsWith('jsonwebtoken'))).filter(
    (name) => kind === 'warm' || name !== 'fast-jwt with cache',
  ),
  rounds: 5,
  unit: 'per second',
  value: ({ perSecond }) => perSecond,
  async measure({ contender }) {
    const issuer = await startIssuer(alg);
    const tokens = issuer.tokens(kind === 'warm' ? 1 : DISTINCT_TOKENS);
    const verify = verifiers[contender](issuer);
    const run = async (ms) => {
      const begin = performance.now();
      let done = 0;
      while (performance.now() - begin < ms) {
        for (let i = 0; i < 100; i += 1) {
          await verify(tokens[done % tokens.length]);
          done += 1;
        }
      }
      return done / ((performance.now() - begin) / 1000);
    };
    await run(MEASURED_MS / 4);
    return { perSecond: await run(MEASURED_MS) };
  },
});

export const verification = Object.fromEntries(
  ['RS256', 'ES256', 'EdDSA'].flatMap((alg) =>
    ['warm', 'cold'].map((kind) => [`verify-${alg.toLowerCase()}-${kind}`, scenario(alg, kind)]),
  ),
);
