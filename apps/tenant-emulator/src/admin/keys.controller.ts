import { Controller, HttpCode, NotFoundException, Param, Post, Put } from '@nestjs/common';
import { z } from 'zod';
import { type PublicKeySet, publicKeySet } from '../config/service-user.js';
import { UserDirectory } from '../directory/user-directory.js';
import { ClientKeys } from '../oauth2/client-assertions.js';
import { SigningKeys } from '../tokens/signing-keys.js';
import { JsonBody } from './admin-api.js';

const rotation = z.strictObject({ dropOld: z.boolean().default(false) });

/** The keys that sign tokens. */
@Controller('keys')
export class KeyRotationController {
  constructor(private readonly keys: SigningKeys) {}

  @Post('rotate')
  @HttpCode(200)
  async rotate(@JsonBody(rotation) options: z.output<typeof rotation>) {
    const { kid } = await this.keys.rotate(options);
    return { kid, published: this.keys.publicKeySet.keys.map((key) => key.kid) };
  }
}

/** Not of CyberArk Identity: where a client's public keys are handed over, which at other servers a portal does. */
@Controller('clients')
export class ClientKeysController {
  constructor(
    private readonly directory: UserDirectory,
    private readonly keys: ClientKeys,
  ) {}

  @Put(':loginName/jwks')
  register(@Param('loginName') loginName: string, @JsonBody(publicKeySet) keySet: PublicKeySet) {
    const user = this.directory.byName(loginName);
    if (!user?.oauthClient) throw new NotFoundException({ error: 'There is no such client.' });
    this.keys.register(user.uuid, keySet);
    return { client: user.name, keys: keySet.keys.length };
  }
}
