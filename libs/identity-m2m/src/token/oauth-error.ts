import { STATUS_CODES } from 'node:http';
import { parseStrictJsonObject } from '../foundation/strict-json.js';
import type { TokenEndpointResponse } from './token-response-reader.js';

/** A refusal that a server put into the body of its answer. */
export interface OAuthError {
  /** As the server wrote it. */
  readonly code: string;
  readonly description?: string | undefined;
}

type Members = Readonly<Record<string, unknown>>;

/**
 * The error in an answer's body (RFC 6749 §5.2), whatever its media type says.
 *
 * The body is a JSON object or, as some servers write it, a form. An error under another name, as in `errorCode`,
 * `error.code` or `errors[0].code`, counts only where it is one that OAuth knows: gateways in front of servers write such
 * members too. So does the name of a status, as in `{"status":404,"error":"Not Found"}`: it says nothing about the
 * request, unless it is a 401 that the server explains in the words of OAuth, as in
 * `{"error":"unauthorized","error_description":"Bad credentials"}`.
 *
 * @param isKnown Whether a code, as {@link normalizedCode} has it, is one that OAuth knows.
 */
export function oauthErrorIn(
  { status, body }: Pick<TokenEndpointResponse, 'status' | 'body'>,
  isKnown: (code: string) => boolean,
): OAuthError | undefined {
  const json = parseStrictJsonObject(body);
  const members = json.ok ? json.value : formMembers(body);
  const description = textOf(members.error_description);
  const code = textOf(members.error);
  const isExplained = status === 401 && description !== undefined;
  if (code !== undefined) return isStatusName(code) && !isExplained ? undefined : { code, description };
  const nested = objectOf(members.error ?? [members.errors].flat()[0]);
  const own = byPlainName(members);
  const vendorCodes = [nested.code, nested.error, nested.type, own.errorcode, own.code];
  const vendorCode = vendorCodes.map(textOf).find((one) => one !== undefined && isKnown(normalizedCode(one)));
  if (vendorCode === undefined) return undefined;
  const texts = [nested.message, nested.description, own.errorsummary, own.errormessage, own.message, members.Error];
  return { code: vendorCode, description: description ?? texts.map(textOf).find((one) => one !== undefined) };
}

/** Vendors write `errorCode`, `ErrorCode` and `error_code`. */
function byPlainName(members: Members): Members {
  return Object.fromEntries(Object.entries(members).map(([name, value]) => [lettersOf(name), value]));
}

/**
 * The error that stands beside what claims to be a grant. There anything counts that is not empty, because a token must
 * not be used that the server takes back in the same breath.
 */
export function errorBesideGrant(members: Members): OAuthError | undefined {
  const { error } = members;
  const description = textOf(members.error_description);
  const code = textOf(error);
  if (code !== undefined) return { code, description };
  const isEmpty = error == null || error === false || error === 0 || typeof error === 'string';
  if (isEmpty || (typeof error === 'object' && Object.keys(error).length === 0)) return undefined;
  const nested = objectOf(error);
  return {
    code: textOf(nested.code) ?? 'unknown error',
    description: description ?? textOf(nested.message) ?? 'the member error has a form that is not known',
  };
}

/** One spelling for all: `InvalidClient`, `INVALID_CLIENT` and `invalid-client` are `invalid_client`. */
export function normalizedCode(code: string): string {
  return code
    .replaceAll(/([a-z\d])([A-Z])/g, '$1_$2')
    .replaceAll(/[\s-]+/g, '_')
    .toLowerCase();
}

const STATUS_NAMES = new Set(Object.values(STATUS_CODES).map((name) => lettersOf(name!)));

function isStatusName(code: string): boolean {
  return /^\d+$/.test(code) || STATUS_NAMES.has(lettersOf(code));
}

function lettersOf(text: string): string {
  return text.replaceAll(/[^a-z]/gi, '').toLowerCase();
}

/** Members of `application/x-www-form-urlencoded`; none where the text is something else, or has a name twice. */
function formMembers(body: string): Members {
  const text = body.trim();
  if (!/^[\w.-]+=[^\s<>{}"]*$/.test(text)) return {};
  const entries = [...new URLSearchParams(text)];
  const members = Object.fromEntries(entries);
  return Object.keys(members).length === entries.length ? members : {};
}

/** undefined for what is no string, or a blank one. */
function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value : undefined;
}

function objectOf(value: unknown): Members {
  return typeof value === 'object' && value !== null ? (value as Members) : {};
}
