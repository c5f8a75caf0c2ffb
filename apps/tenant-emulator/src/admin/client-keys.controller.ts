import { Controller, NotFoundException, Param, Put } from '@nestjs/common';
import { type PublicKeySet, publicKeySet } from '../config/public-key-set.js';
import { UserDirectory } from '../directory/user-directory.js';
import { ClientKeys } from '../oauth2/client-keys.js';
import { JsonBody } from './json-body.decorator.js';

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
