import { STATUS_CODES } from 'node:http';
import { parseStrictJsonObject } from '../foundation/strict-json.js';
import type { TokenEndpointResponse } from './token-response-reader.js';

/** An error in the body of a token endpoint's response. */
export interface OAuthError {
  /** The code as the server wrote it. */
  readonly code: string;
  readonly description?: string | undefined;
}

type Members = Readonly<Record<string, unknown>>;

/**
 * Returns the error in a response's body (RFC 6749 §5.2), whatever its media type; undefined if there is none.
 *
 * The body is a JSON object or, with some servers, a form. An error in another member, such as `errorCode`,
 * `error.code` or `errors[0].code`, counts only with a code that OAuth knows, because gateways use such members too.
 *
 * The name of a status does not count, as in `{"status":404,"error":"Not Found"}`. The exception is a 401 with a
 * description, as in `{"error":"unauthorized","error_description":"Bad credentials"}`.
 *
 * @param isKnown Returns whether OAuth knows a code that {@link normalizedCode} returned.
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

/**
 * Returns the members by names without case and underscores: vendors write `errorCode`, `ErrorCode` and `error_code`.
 */
function byPlainName(members: Members): Members {
  return Object.fromEntries(Object.entries(members).map(([name, value]) => [lettersOf(name), value]));
}

/**
 * Returns the error in a response that also has a token. Any value that is not empty counts, because a token that comes
 * with an error must not be used.
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
    description: description ?? textOf(nested.message) ?? 'the member error has an unknown format',
  };
}

/** Returns a code in snake case: `InvalidClient`, `INVALID_CLIENT` and `invalid-client` become `invalid_client`. */
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

/** Returns the members of a form; none if the text is not a form, or has a name twice. */
function formMembers(body: string): Members {
  const text = body.trim();
  if (!/^[\w.-]+=[^\s<>{}"]*$/.test(text)) return {};
  const entries = [...new URLSearchParams(text)];
  const members = Object.fromEntries(entries);
  return Object.keys(members).length === entries.length ? members : {};
}

/** Returns a string that is not blank; undefined for any other value. */
function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value : undefined;
}

function objectOf(value: unknown): Members {
  return typeof value === 'object' && value !== null ? (value as Members) : {};
}
