import type { OptionFault } from '../foundation/option-check.js';
import { printableText } from '../foundation/text.js';
import type { KnownIssuer } from '../identity-providers/identity-provider.js';
import { IdentityM2MConfigurationError } from './configuration-error.js';
import { registeredClients } from './registered-clients.js';
import { guardFaults } from './guard-faults.js';
import type { GuardOptions, ResolvedIssuer } from './guard-options.js';
import { isIdentityProvider } from './identity-provider-faults.js';
import type { RegisteredClient } from '../verification/client-registry.js';

/** An issuer as the resolver has accepted it. */
export interface IssuerAnswer {
  readonly provider: KnownIssuer;
  /** undefined: every machine that the issuer vouches for. */
  readonly clients: readonly RegisteredClient[] | undefined;
}

/**
 * Reads what the resolver answered about an issuer. It is checked as an issuer of the options is.
 *
 * @throws {@link IdentityM2MConfigurationError} with every wrong field at once.
 */
export function readIssuerAnswer(
  issuer: string,
  answer: unknown,
  options: GuardOptions,
  production: boolean,
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
  // A tenant that has no clients yet is no mistake, and lets nobody in.
  const hasNone = Array.isArray(clients) && clients.length === 0;
  const { audience, unsafeAllowHttp } = options;
  const checked: GuardOptions = {
    issuers: [provider],
    audience,
    ...(clients !== undefined && { clients: hasNone ? ['none'] : clients }),
    ...(unsafeAllowHttp !== undefined && { unsafeAllowHttp }),
  };
  const faults = guardFaults(checked, 'answer', production);
  if (faults.length === 0 && provider.issuer !== issuer) {
    const found = provider.issuer === undefined ? 'nothing' : JSON.stringify(printableText(provider.issuer, 80));
    const expected = `${JSON.stringify(printableText(issuer, 80))}, to the letter, because that is what it was asked about`;
    faults.push({ path: 'answer.identityProvider.issuer', expected, found });
  }
  if (faults.length > 0) throw answerError(faults);
  const named = clients?.flatMap((client) => registeredClients(client, issuer));
  // Where the options name clients, no other may call.
  return { provider: { ...provider, issuer }, clients: named ?? (options.clients && []) };
}

function parts(answer: unknown): Partial<ResolvedIssuer> | undefined {
  if (typeof answer !== 'object' || answer === null) return undefined;
  return isIdentityProvider(answer) ? { identityProvider: answer } : answer;
}

function answerError(faults: readonly OptionFault[]): IdentityM2MConfigurationError {
  const own = faults.map((fault) => ({
    ...fault,
    path: fault.path.replace('answer.issuers[0]', 'answer.identityProvider'),
  }));
  return new IdentityM2MConfigurationError(own, 'issuerResolver');
}
