import {
  IntrospectionEndpoint,
  type IntrospectionEndpointOptions,
} from '../../libs/identity-m2m/src/verification/introspection-endpoint.js';
import { StaticKeySet, VerificationKeys } from '../../libs/identity-m2m/src/verification/key-set.js';

/** Returns an introspection endpoint whose responses are not signed, and that expects no credential. */
export function unsignedIntrospection(
  options: Pick<IntrospectionEndpointOptions, 'issuer' | 'clock' | 'fetch'>,
): IntrospectionEndpoint {
  return new IntrospectionEndpoint({
    endpoint: `${options.issuer}/introspect`,
    authenticate: () => ({}),
    signedFor: undefined,
    timesAsText: false,
    keys: new StaticKeySet(new VerificationKeys([])),
    algorithms: [],
    plainHttp: 'never',
    ...options,
  });
}
