import { accessRule } from './access-metadata.js';

/**
 * Has the issuer asked about the token (RFC 7662), besides verifying its signature, so that a token which was revoked a
 * minute ago does not come through. Callers get 503 where the issuer can't be asked, or `introspection` is not configured
 * for it.
 *
 * On a method it takes the place of what stands on the class: `@Sensitive(false)` takes it back.
 */
export function Sensitive(sensitive = true): ClassDecorator & MethodDecorator {
  return accessRule('sensitive', sensitive);
}
