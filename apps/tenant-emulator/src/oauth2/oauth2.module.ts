import { Module } from '@nestjs/common';
import { TokenIssuer } from '../tokens/token-issuer.js';
import { ClientAssertions } from './client-assertions.js';
import { ClientAuthenticator } from './client-authenticator.js';
import { ClientCredentialsGrant } from './client-credentials-grant.js';
import { DiscoveryController } from './discovery.controller.js';
import { IntrospectionController } from './introspection.controller.js';
import { KeysController } from './keys.controller.js';
import { RevocationController } from './revocation.controller.js';
import { TokenController } from './token.controller.js';
import { UserInfoController } from './user-info.controller.js';

/** The OAuth2 endpoints. */
@Module({
  controllers: [
    TokenController,
    KeysController,
    DiscoveryController,
    IntrospectionController,
    RevocationController,
    UserInfoController,
  ],
  providers: [ClientAuthenticator, ClientAssertions, ClientCredentialsGrant, TokenIssuer],
})
export class OAuth2Module {}
