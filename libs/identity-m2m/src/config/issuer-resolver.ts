import { z } from 'zod';
import { aFunction, type OptionFault, optionFaults, quantity } from '../foundation/option-check.js';
import { printableText } from '../foundation/text.js';
import type { PlainHttp } from '../foundation/url.js';
import type { IdentityProvider, KnownIssuer } from '../identity-providers/identity-provider.js';
import type { RegisteredClient } from '../verification/trusted-issuer.js';
import { IdentityM2MConfigurationError } from './configuration-error.js';
import { isIdentityProvider, trustedIssuerFaults, unnamedClientsFaults } from './identity-provider-faults.js';
import { type NamedClient, namedClientFaults, namedClients, registeredClients } from './named-client.js';

/** An issuer that the resolver accepts. */
export interface ResolvedIssuer {
  /** Its provider. Its `issuer` must be exactly the identifier that the resolver was called with. */
  readonly identityProvider: IdentityProvider;
  /**
   * Clients of this issuer that may call. Default: every machine of the issuer; none if the guard's options have
   * `clients`, because those belong to the configured issuers.
   */
  readonly clients?: readonly (string | Omit<NamedClient, 'issuer'>)[];
}

/**
 * Decides at run time whether tokens of an issuer are accepted.
 *
 * Look the identifier up, and build the result from the record that you find. The identifier comes from a token that is
 * not verified yet: a result built from it alone would trust every issuer.
 *
 * @param issuer `iss` of a token whose form and header are valid.
 * @param signal Aborts after 5 s, and when the verifier closes.
 * @returns The provider of that issuer, alone or with its clients; undefined or null to deny the issuer. If the
 * resolver throws, takes longer than 5 s or returns anything else, callers get 503.
 */
export type IssuerResolver = (
  issuer: string,
  signal: AbortSignal,
) =>
  IdentityProvider | ResolvedIssuer | undefined | null | Promise<IdentityProvider | ResolvedIssuer | undefined | null>;

/** Options for issuers that are accepted at run time. */
export interface IssuerResolverOptions {
  /**
   * Accepts further issuers at run time, such as one for each tenant. At most one call per issuer and 16 calls in total
   * run at a time. Beyond that, and if a call fails, callers get 503. Default: only the configured `issuers`.
   */
  readonly issuerResolver?: IssuerResolver;

  /**
   * `maxIssuers`: maximum number of cached issuers; the least recently used ones are evicted. Default: 100.
   * `holdSeconds`: how long an accepted issuer stays accepted, in seconds; while it is in use, the resolver is called
   * again earlier. Default: 300.
   */
  readonly resolvedIssuers?: { readonly maxIssuers?: number; readonly holdSeconds?: number };
}

/** Schema of {@link IssuerResolverOptions}, field by field. */
export const issuerResolverFields = {
  issuerResolver: aFunction<IssuerResolver>('a function of an issuer’s identifier').optional(),
  resolvedIssuers: z
    .strictObject({
      maxIssuers: quantity('issuers', 1, 10_000).optional(),
      holdSeconds: quantity('seconds', 1, 86_400).optional(),
    })
    .optional(),
};

/** How issuers are accepted at run time: {@link IssuerResolverOptions}, checked, with every default filled in. */
export interface ResolverConfiguration {
  readonly resolve: IssuerResolver;
  /** Checks the resolver's result. @throws `IdentityM2MConfigurationError` with every fault. */
  readonly read: (issuer: string, answer: unknown) => IssuerAnswer;
  readonly maxIssuers: number;
  readonly holdMs: number;
}

/** Limits that the guard's options set for the resolver. */
interface ResolverRules {
  /** Whether the options name clients, so that no other may call. */
  readonly hasNamedClients: boolean;
  readonly plainHttp: PlainHttp;
}

/** @param options Free of faults. */
export function resolverConfiguration(
  { issuerResolver: resolve, resolvedIssuers: { maxIssuers = 100, holdSeconds = 300 } = {} }: IssuerResolverOptions,
  rules: ResolverRules,
): ResolverConfiguration | undefined {
  const read = (issuer: string, answer: unknown) => readIssuerAnswer(issuer, answer, rules);
  return resolve && { resolve, read, maxIssuers, holdMs: holdSeconds * 1000 };
}

/** An issuer that the resolver has accepted. */
export interface IssuerAnswer {
  readonly provider: KnownIssuer;
  /** undefined: every machine of the issuer. */
  readonly clients: readonly RegisteredClient[] | undefined;
}

const clientsSchema = z.object({ clients: namedClients.optional() });

/** Checks the resolver's result as strictly as a configured issuer. */
function readIssuerAnswer(
  issuer: string,
  answer: unknown,
  { hasNamedClients, plainHttp }: ResolverRules,
): IssuerAnswer {
  const { identityProvider: provider, clients } = parts(answer) ?? {};
  if (!isIdentityProvider(provider)) {
    throw answerError([
      {
        path: 'answer',
        expected: 'an identity provider, { identityProvider, clients }, or undefined to deny the issuer',
        found: Array.isArray(answer) ? 'a list' : `a value of type ${typeof answer}`,
      },
    ]);
  }
  const path = 'answer.identityProvider';
  const faults = trustedIssuerFaults(provider, path, { plainHttp, isRepeated: false });
  if (clients === undefined) faults.push(...unnamedClientsFaults(provider, 'answer.clients'));
  // A tenant without clients is valid: no client may call then.
  else if (!Array.isArray(clients) || clients.length > 0) faults.push(...clientsFaults(clients, provider));
  if (faults.length === 0 && provider.issuer !== issuer) {
    const found = provider.issuer === undefined ? 'nothing' : JSON.stringify(printableText(provider.issuer, 80));
    const expected = `exactly ${JSON.stringify(printableText(issuer, 80))}, because the resolver was called with it`;
    faults.push({ path: `${path}.issuer`, expected, found });
  }
  if (faults.length > 0) throw answerError(faults);
  const named = clients?.flatMap((client) => registeredClients(client, issuer));
  return { provider: { ...provider, issuer }, clients: named ?? (hasNamedClients ? [] : undefined) };
}

function clientsFaults(clients: readonly (string | NamedClient)[], provider: IdentityProvider): OptionFault[] {
  const faults = optionFaults(clientsSchema, { clients }, 'answer');
  if (faults.length > 0) return faults;
  return namedClientFaults(clients, { issuers: [provider], areSeveral: false }, 'answer.clients');
}

function parts(answer: unknown): Partial<ResolvedIssuer> | undefined {
  if (typeof answer !== 'object' || answer === null) return undefined;
  return isIdentityProvider(answer) ? { identityProvider: answer } : answer;
}

function answerError(faults: readonly OptionFault[]): IdentityM2MConfigurationError {
  return new IdentityM2MConfigurationError(faults, 'issuerResolver');
}
