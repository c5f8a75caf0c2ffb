import { type Attacker, settleAttacker } from './attacker.js';
import type { TestIssuer, TestTokenOptions } from './test-issuer.js';

/** A token that no guard may accept. */
export interface ForgedToken {
  /** Names the attack: the class and a number. The same over versions. */
  readonly id: string;
  /** What is wrong with it. */
  readonly attack: string;
  readonly token: string;
}

/** What forgeries are made from: an issuer, and a token of it that the guard accepts. */
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
  const [token, attacker] = await Promise.all([issuer.sign(claims, header), settleAttacker(issuer)]);
  return { issuer, accepted, claims, header, token, attacker };
}

/** One line of a table of attacks: what is wrong, and the token that has it. */
export type Forgery = readonly [attack: string, token: string];

/** Gives each forgery of a class its id. */
export function named(id: string, forgeries: readonly Forgery[]): ForgedToken[] {
  return forgeries.map(([attack, token]) => ({ id, attack, token }));
}

export function segment(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return Buffer.from(text).toString('base64url');
}

/** Claims that name the client, as far as the accepted token shows: a guard may go by any of them, but seldom by `sub`. */
export function clientNames({ claims, accepted }: ForgeryMaterial): string[] {
  const names = Object.keys(claims).filter((name) => claims[name] === accepted.clientId);
  return names.length > 1 ? names.filter((name) => name !== 'sub') : names;
}
