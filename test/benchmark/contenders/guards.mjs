// Guards of a Nest route: the library's, and those that are written around its rivals.
import { Injectable, UnauthorizedException, UseGuards } from '@nestjs/common';
import { AuthGuard, PassportModule, PassportStrategy } from '@nestjs/passport';
import { auth } from 'express-oauth2-jwt-bearer';
import jwksRsa from 'jwks-rsa';
import { genericOAuth2, IdentityM2MModule, M2MAuthGuard } from 'nestjs-identity-m2m';
import { ExtractJwt, Strategy } from 'passport-jwt';
import { AUDIENCE } from '../issuer.mjs';
import { verifiers } from './verifiers.mjs';

/** A guard as an application would write it around a function that verifies. */
function guardAround(verify) {
  class VerifyingGuard {
    async canActivate(context) {
      const request = context.switchToHttp().getRequest();
      const [, token] = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
      if (!token) throw new UnauthorizedException();
      try {
        request.user = await verify(token);
        return true;
      } catch {
        throw new UnauthorizedException();
      }
    }
  }
  Injectable()(VerifyingGuard);
  return { decorators: [UseGuards(new VerifyingGuard())] };
}

export const guards = {
  'no guard': () => ({}),

  'a guard that returns true': () => ({ decorators: [UseGuards({ canActivate: () => true })] }),

  'identity-m2m': (issuer) => ({
    imports: [
      IdentityM2MModule.forRoot({
        guard: {
          issuers: [genericOAuth2({ issuer: issuer.url, jwksUri: issuer.jwksUri })],
          audience: AUDIENCE,
          clients: ['benchmark'],
        },
      }),
    ],
    decorators: [UseGuards(M2MAuthGuard)],
  }),

  'jose, remote key set': (issuer) => guardAround(verifiers['jose, remote key set'](issuer)),
  'fast-jwt with cache': (issuer) => guardAround(verifiers['fast-jwt with cache'](issuer)),
  'jsonwebtoken + jwks-rsa': (issuer) => guardAround(verifiers['jsonwebtoken + jwks-rsa'](issuer)),

  'passport-jwt': (issuer) => {
    class JwtStrategy extends PassportStrategy(Strategy) {
      constructor() {
        super({
          jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
          secretOrKeyProvider: jwksRsa.passportJwtSecret({ cache: true, jwksUri: issuer.jwksUri }),
          issuer: issuer.url,
          audience: AUDIENCE,
          algorithms: [issuer.alg],
        });
      }

      validate(payload) {
        return payload;
      }
    }
    Injectable()(JwtStrategy);
    return { imports: [PassportModule], providers: [JwtStrategy], decorators: [UseGuards(AuthGuard('jwt'))] };
  },

  'express-oauth2-jwt-bearer': (issuer) => ({
    middleware: auth({
      issuer: issuer.url,
      jwksUri: issuer.jwksUri,
      audience: AUDIENCE,
      tokenSigningAlg: issuer.alg,
    }),
  }),
};
