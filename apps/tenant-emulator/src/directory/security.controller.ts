import { Caller } from '../rest-api/caller.decorator.js';
import { RestCall, RestController } from '../rest-api/rest-controller.decorator.js';
import type { IssuedToken } from '../tokens/issued-tokens.js';

/** Who the caller is. */
@RestController('Security')
export class SecurityController {
  @RestCall('whoami')
  whoAmI(@Caller() { loginName, userUuid }: IssuedToken) {
    return { User: loginName, UserUuid: userUuid };
  }
}
