// Memory that a verifier needs for a sequence of new tokens.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { verifiers } from '../contenders/verifiers.mjs';
import { startIssuer } from '../issuer.mjs';

const TOKENS = 1_000_000;
/** Numbers of tokens after which memory is measured: with a full cache, midway, and at the end. */
const LOOKS = [20_000, 100_000, TOKENS];

export const title = 'Live memory over a million distinct tokens, ES256, in MiB';
export const contenders = ['identity-m2m', 'fast-jwt with cache', 'jose, remote key set'];
export const rounds = 1;
export const timeoutMs = 1_800_000;
export const columns = {
  before: ({ before }) => before,
  ...Object.fromEntries(LOOKS.map((count) => [`after ${count.toLocaleString('en')}`, ({ after }) => after[count]])),
};

export async function measure({ contender }) {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc');
  const liveMiB = () => {
    collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    return (heapUsed + external) / 2 ** 20;
  };
  const issuer = await startIssuer('ES256');
  const verify = verifiers[contender](issuer);
  await verify(issuer.token());
  const before = liveMiB();
  const after = {};
  for (let count = 1; count <= TOKENS; count += 1) {
    await verify(issuer.token());
    if (LOOKS.includes(count)) after[count] = liveMiB();
  }
  return { before, after };
}
