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
  readonly header: { readonly alg: string; readonly kid: string; readonly typ: string };
  /** The accepted token. */
  readonly token: string;
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
