import { type Attacker, attackerBeside } from './attacker.js';
import type { TestIssuer, TestTokenOptions } from './test-issuer.js';

/** A token that no guard may accept. */
export interface ForgedToken {
  /** Identifies the class of attack, such as `S1`; several tokens share it. Stable across versions. */
  readonly id: string;
  /** Description of the attack. */
  readonly attack: string;
  readonly token: string;
}

/** The basis of forgeries: an issuer, and a token that the guard accepts. */
export interface ForgeryMaterial {
  readonly issuer: TestIssuer;
  readonly accepted: TestTokenOptions;
  /** The accepted token's claims. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** The accepted token's header. */
  readonly header: Readonly<Record<string, unknown>> & { readonly alg: string; readonly kid: string };
  /** The accepted token. */
  readonly token: string;
  readonly attacker: Attacker;
}

export async function forgeryMaterial(issuer: TestIssuer, accepted: TestTokenOptions): Promise<ForgeryMaterial> {
  const claims = issuer.claimsFor(accepted);
  const { alg, kid } = issuer.usualHeader;
  const header = { ...issuer.usualHeader, ...accepted.header, alg, kid };
  const [token, attacker] = await Promise.all([issuer.sign(claims, header), attackerBeside(issuer)]);
  return { issuer, accepted, claims, header, token, attacker };
}

/** One row of a table of attacks: the description, and the token. */
export type Forgery = readonly [attack: string, token: string];

/** Gives each forgery of a class the id of the class. */
export function named(id: string, forgeries: readonly Forgery[]): ForgedToken[] {
  return forgeries.map(([attack, token]) => ({ id, attack, token }));
}

export function segment(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return Buffer.from(text).toString('base64url');
}

/** Returns the claims that name the client in the accepted token: a guard may use any of them, but seldom `sub`. */
export function clientNames({ claims, accepted }: ForgeryMaterial): string[] {
  const names = Object.keys(claims).filter((name) => claims[name] === accepted.clientId);
  return names.length > 1 ? names.filter((name) => name !== 'sub') : names;
}
