import { z } from 'zod';
import { areCleanTexts, cleanText, field, type OptionFault } from '../foundation/option-check.js';
import { isScopeName } from '../foundation/text.js';
import type { IdentityProvider } from '../identity-providers/identity-provider.js';
import type { RegisteredClient } from '../verification/trusted-issuer.js';
import { issuerNameFaults } from './identity-provider-faults.js';

/** A client that the guard allows. */
export interface NamedClient {
  readonly clientId: string;
  /**
   * Issuer of its tokens. Required if the guard trusts several: a client identifier is unique only within its issuer
   * (RFC 6749 §2.2), and another issuer may use it for a different client. Use a list if one server issues tokens under
   * several names: both token versions of an Entra ID tenant, or a custom domain next to the native one. Default: the
   * only issuer.
   */
  readonly issuer?: string | readonly string[];
  /** Scopes that this client may use; the guard ignores other scopes of its tokens. Default: all. */
  readonly scopes?: readonly string[];
  /**
   * When the guard stops allowing this client: a `Date`, or a string such as `2027-01-01` or `2027-01-01T08:00:00Z`.
   * Default: never.
   */
  readonly until?: Date | string;
}

const A_CLIENT = 'a client identifier, or { clientId, issuer, scopes, until }';
const A_LIST_OF_CLIENTS = 'a list of clients, at least one';

const namedClient = z.strictObject({
  clientId: cleanText('a client identifier'),
  issuer: field<string | readonly string[]>('an issuer, or a list of one or more', (value) =>
    areCleanTexts(value),
  ).optional(),
  scopes: field<readonly string[]>(
    'a list of one or more scopes',
    (value) => Array.isArray(value) && value.length > 0 && value.every(isScopeName),
  ).optional(),
  until: field<Date | string>('a date, such as 2027-01-01', (value) => endOf(value) !== undefined).optional(),
});

/** Schema of a list of {@link NamedClient}s. */
export const namedClients = z.array(z.unknown().check(checkClient), A_LIST_OF_CLIENTS).min(1, A_LIST_OF_CLIENTS);

/** Checks one form or the other, not a union of both, so that the error names each invalid field of an object. */
function checkClient({ value, issues }: z.core.ParsePayload): void {
  const form = typeof value === 'object' && value !== null ? namedClient : cleanText(A_CLIENT);
  for (const issue of form.safeParse(value).error?.issues ?? [])
    issues.push({ ...issue, input: value } as z.core.$ZodRawIssue);
}

/** Returns which clients name an issuer that is not trusted, or are listed twice. */
export function namedClientFaults(
  clients: readonly (string | NamedClient)[],
  { issuers, areSeveral }: { readonly issuers: readonly IdentityProvider[]; readonly areSeveral: boolean },
  path: string,
): OptionFault[] {
  const listed = new Set<string>();
  return clients.flatMap((client, index) => {
    const at = `${path}[${index}]`;
    const { clientId, issuer }: NamedClient = typeof client === 'object' ? client : { clientId: client };
    const list = Array.isArray(issuer) ? (issuer as readonly string[]) : undefined;
    return (list ?? [issuer as string | undefined]).flatMap((one, position) => {
      const issuerPath = list ? `${at}.issuer[${position}]` : `${at}.issuer`;
      const faults = issuerNameFaults(one, { issuers, areSeveral }, issuerPath);
      if (faults.length > 0) return faults;
      const key = JSON.stringify([clientId, one ?? issuers[0]?.issuer]);
      // Which of the two entries applies would depend on their order.
      if (listed.has(key)) return [{ path: at, expected: 'a client that is not listed yet', found: 'a duplicate' }];
      listed.add(key);
      return [];
    });
  });
}

/** Returns a client's entries for the registry, one for each of its issuers. */
export function registeredClients(client: string | NamedClient, onlyIssuer: string | undefined): RegisteredClient[] {
  const { clientId, issuer, scopes, until }: NamedClient = typeof client === 'string' ? { clientId: client } : client;
  const issuers = [issuer ?? onlyIssuer ?? []].flat();
  return issuers.map((one) => ({ clientId, issuer: one, scopes, endsAtMs: endOf(until) }));
}

/** Returns when the guard stops allowing a client, in milliseconds since the epoch; undefined for an invalid date. */
function endOf(until: unknown): number | undefined {
  if (!(until instanceof Date) && !(typeof until === 'string' && isDateText(until))) return undefined;
  const time = new Date(until).getTime();
  return Number.isNaN(time) ? undefined : time;
}

/** Rejects 30 February, which `Date` reads as 2 March. */
function isDateText(text: string): boolean {
  if (!/^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/.test(text)) return false;
  const [date] = text.split('T');
  const day = new Date(`${date}T00:00:00Z`);
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(date!);
}
