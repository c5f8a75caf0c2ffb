import { Injectable } from '@nestjs/common';
import { createLocalJWKSet, decodeJwt, type JWTPayload, jwtVerify } from 'jose';
import { Clock } from '../clock.js';
import type { PublicKeySet } from '../config/service-user.js';
import { UserDirectory } from '../directory/user-directory.js';
import type { User } from '../directory/user.js';
import { TenantAddress } from './metadata.js';
import type { RequestParameters } from './request-parameters.js';

/**
 * Not a feature of CyberArk Identity: the public keys of clients that authenticate by private key JWT, by the UUID of
 * their service user.
 */
export class ClientKeys {
  readonly #byUuid: Map<string, PublicKeySet>;

  constructor(keySets: Iterable<readonly [uuid: string, PublicKeySet]> = []) {
    this.#byUuid = new Map(keySets);
  }

  of(uuid: string): PublicKeySet | undefined {
    return this.#byUuid.get(uuid);
  }

  /** Replaces all keys of a client. */
  register(uuid: string, keySet: PublicKeySet): void {
    this.#byUuid.set(uuid, keySet);
  }
}

/** RFC 7523, section 2.2. */
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'];
/** Longest time to the expiry of an assertion. It bounds how long a `jti` is remembered. */
const MAX_LIFETIME_SECONDS = 300;
const MAX_REMEMBERED = 100_000;

/**
 * Not a documented feature of CyberArk Identity: verifies the assertions of clients that authenticate by private key
 * JWT (`private_key_jwt`, RFC 7523 and OpenID Connect Core 1.0, section 9).
 */
@Injectable()
export class ClientAssertions {
  /** The time to forget each `jti`, in seconds since the Unix epoch; oldest first. */
  readonly #seen = new Map<string, number>();

  constructor(
    private readonly directory: UserDirectory,
    private readonly keys: ClientKeys,
    private readonly address: TenantAddress,
    private readonly clock: Clock,
  ) {}

  /**
   * Returns the service user that signed the assertion of a request, or undefined if the assertion is invalid.
   *
   * The audience is the issuer or the token endpoint of the application (RFC 7523, section 3). Each assertion is valid
   * once.
   */
  async signer(applicationId: string, parameters: RequestParameters): Promise<User | undefined> {
    const assertion = parameters.get('client_assertion') ?? '';
    const claimed = parameters.get('client_id') ?? claimedIssuer(assertion);
    const user = claimed === undefined ? undefined : this.directory.byName(claimed);
    const keySet = user && this.keys.of(user.uuid);
    if (!keySet || parameters.get('client_assertion_type') !== ASSERTION_TYPE) return undefined;
    try {
      const { payload } = await jwtVerify(assertion, createLocalJWKSet(keySet), {
        algorithms: ALGORITHMS,
        issuer: claimed!,
        subject: claimed!,
        audience: [this.address.issuerOf(applicationId), `${this.address.url}/oauth2/token/${applicationId}`],
        requiredClaims: ['exp', 'jti'],
        currentDate: new Date(this.clock.now()),
      });
      return this.#isFirstUse(user.uuid, payload) ? user : undefined;
    } catch {
      return undefined;
    }
  }

  #isFirstUse(uuid: string, { jti, exp = Infinity }: JWTPayload): boolean {
    const now = this.clock.now() / 1000;
    for (const [key, end] of this.#seen) {
      if (end > now) break;
      this.#seen.delete(key);
    }
    const key = `${uuid} ${jti}`;
    if (exp > now + MAX_LIFETIME_SECONDS || this.#seen.has(key) || this.#seen.size >= MAX_REMEMBERED) return false;
    // Each is kept for the same time, so the order of arrival is the order of expiry.
    this.#seen.set(key, now + MAX_LIFETIME_SECONDS);
    return true;
  }
}

function claimedIssuer(assertion: string): string | undefined {
  try {
    return decodeJwt(assertion).iss;
  } catch {
    return undefined;
  }
}
