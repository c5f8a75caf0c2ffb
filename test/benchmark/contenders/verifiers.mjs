// Verifiers of tokens: the library's and its rivals, as their documentation shows them.
import { createVerifier } from 'fast-jwt';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import jsonwebtoken from 'jsonwebtoken';
import jwksRsa from 'jwks-rsa';
import { createAccessTokenVerifier, genericOAuth2 } from 'nestjs-identity-m2m';
import { AUDIENCE } from '../issuer.mjs';

const fastJwt = (issuer, cache) => {
  const key = async () => issuer.publicKeyPem;
  return createVerifier({ key, cache, algorithms: [issuer.alg], allowedIss: issuer.url, allowedAud: AUDIENCE });
};

export const verifiers = {
  'identity-m2m': (issuer) => {
    const verifier = createAccessTokenVerifier({
      issuers: [genericOAuth2({ issuer: issuer.url, jwksUri: issuer.jwksUri })],
      audience: AUDIENCE,
      clients: ['benchmark'],
    });
    return async (token) => {
      const outcome = verifier.verify(token);
      const { ok } = outcome instanceof Promise ? await outcome : outcome;
      if (!ok) throw new Error('refused');
    };
  },

  'jose, remote key set': (issuer) => {
    const keys = createRemoteJWKSet(new URL(issuer.jwksUri));
    return (token) => jwtVerify(token, keys, { issuer: issuer.url, audience: AUDIENCE });
  },

  'fast-jwt': (issuer) => fastJwt(issuer, false),

  'fast-jwt with cache': (issuer) => fastJwt(issuer, true),

  'jsonwebtoken + jwks-rsa': (issuer) => {
    const client = jwksRsa({ jwksUri: issuer.jwksUri, cache: true });
    const key = ({ kid }, done) => client.getSigningKey(kid, (error, found) => done(error, found?.getPublicKey()));
    const options = { algorithms: [issuer.alg], issuer: issuer.url, audience: AUDIENCE };
    return (token) =>
      new Promise((resolve, reject) => {
        jsonwebtoken.verify(token, key, options, (error, claims) => (error ? reject(error) : resolve(claims)));
      });
  },
};
