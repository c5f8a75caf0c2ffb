import { createHash } from 'node:crypto';
import { describe, expect, it, test } from '@jest/globals';
import { decodeJwt, decodeProtectedHeader, EmbeddedJWK, jwtVerify } from 'jose';
import { ManualClock } from '../testing/manual-clock.js';
import { DPOP_ALGORITHMS, DpopProver } from './dpop-prover.js';

const CALL = { method: 'POST', url: 'https://api.example.com:8443/users?name=a#b' };

function setUp(algorithm: (typeof DPOP_ALGORITHMS)[number] = 'ES256') {
  const clock = new ManualClock();
  return { clock, prover: new DpopProver(algorithm, clock) };
}

describe('a proof of possession', () => {
  test.each(DPOP_ALGORITHMS)('with %s has the public key in its header, and verifies with it', async (algorithm) => {
    const proof = await setUp(algorithm).prover.proof(CALL);
    const { alg, typ, jwk, ...others } = decodeProtectedHeader(proof);
    expect([alg, typ, others]).toEqual([algorithm, 'dpop+jwt', {}]);
    expect(Object.keys(jwk!)).not.toEqual(expect.arrayContaining(['d']));
    const options = { typ: 'dpop+jwt', algorithms: [algorithm] };
    await expect(jwtVerify(proof, EmbeddedJWK, options)).resolves.toBeDefined();
  });

  it('is for one call: method, address without query and fragment, time in whole seconds, identifier', async () => {
    const { clock, prover } = setUp();
    await clock.advance(1999);
    const claims = decodeJwt(await prover.proof(CALL));
    expect(claims).toEqual({
      jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
      htm: 'POST',
      htu: 'https://api.example.com:8443/users',
      iat: Math.floor(clock.now().wallMs / 1000),
    });
    expect(decodeJwt(await prover.proof(CALL)).jti).not.toBe(claims.jti);
  });

  it('names the token of the call by its hash', async () => {
    const { ath } = decodeJwt(await setUp().prover.proof({ ...CALL, accessToken: 'token' }));
    expect(ath).toBe(createHash('sha256').update('token').digest('base64url'));
  });

  it('has the same key for each call, also if the first calls are concurrent, and another one for another client', async () => {
    const { prover } = setUp();
    const proofs = await Promise.all([prover.proof(CALL), prover.proof(CALL), setUp().prover.proof(CALL)]);
    const [one, same, other] = proofs.map((proof) => decodeProtectedHeader(proof).jwk);
    expect(same).toEqual(one);
    expect(other).not.toEqual(one);
  });
});

describe('the nonce of a server', () => {
  const nonceOf = async (prover: DpopProver, url = CALL.url) => decodeJwt(await prover.proof({ ...CALL, url })).nonce;

  it('is in the proofs for its origin, and in no others', async () => {
    const { prover } = setUp();
    expect(prover.learnNonce('https://api.example.com:8443/other', 'n1')).toBe(true);
    expect(await nonceOf(prover)).toBe('n1');
    for (const url of [
      'https://api.example.com/users',
      'http://api.example.com:8443/',
      'https://x.example.com:8443/',
    ]) {
      expect(await nonceOf(prover, url)).toBeUndefined();
    }
  });

  it('is new the first time and when it changes', async () => {
    const { prover } = setUp();
    const learnt = ['n1', 'n1', 'n2', 'n1'].map((nonce) => prover.learnNonce(CALL.url, nonce));
    expect(learnt).toEqual([true, false, true, true]);
    expect(await nonceOf(prover)).toBe('n1');
  });

  it.each([null, undefined, '', 'n'.repeat(1025)])(
    'is not replaced by none or one that is too long (%#)',
    async (nonce) => {
      const { prover } = setUp();
      prover.learnNonce(CALL.url, 'n1');
      expect(prover.learnNonce(CALL.url, nonce)).toBe(false);
      expect(await nonceOf(prover)).toBe('n1');
      expect(prover.learnNonce(CALL.url, 'n'.repeat(1024))).toBe(true);
    },
  );

  it('is kept for the 100 servers that sent one last', async () => {
    const { prover } = setUp();
    const url = (server: number) => `https://server-${server}.example.com/`;
    for (let server = 0; server <= 100; server++) prover.learnNonce(url(server), `n${server}`);
    expect(await Promise.all([0, 1, 100].map((server) => nonceOf(prover, url(server))))).toEqual([
      undefined,
      'n1',
      'n100',
    ]);
  });
});
