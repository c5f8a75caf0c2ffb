import { Caller, RestCall, RestController } from '../rest-api/rest-controller.js';
import type { IssuedToken } from '../tokens/issued-tokens.js';

/** Shows a caller its own identity. */
@RestController('Security')
export class SecurityController {
  @RestCall('whoami')
  whoAmI(@Caller() { loginName, userUuid }: IssuedToken) {
    return { User: loginName, UserUuid: userUuid };
  }
}
