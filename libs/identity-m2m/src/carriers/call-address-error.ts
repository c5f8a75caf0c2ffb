import { IdentityM2MError } from '../foundation/identity-m2m-error.js';
import { parseUrl } from '../foundation/url.js';
import { printableText } from '../foundation/text.js';

/**
 * The call was not sent, because its address is not an absolute http or https URL. `cause` is the error of the HTTP
 * library.
 */
export class CallAddressError extends IdentityM2MError {
  readonly code = 'M2M_CALL_ADDRESS_INVALID';

  constructor(
    /** Name of the client in the module's options. */
    readonly client: string,
    message: string,
    options?: { readonly cause?: unknown },
  ) {
    super(message, options);
  }
}

export interface FailedCall {
  /** Name of the client in the module's options. */
  readonly client: string;
  readonly method: string;
  readonly url: string;
  /** Name of the URL in the message. Default: `address`. */
  readonly noun?: 'address' | 'origin';
  /** What to do about an address that is relative or missing. */
  readonly advice: string;
  /** Error of the HTTP library; undefined if the call did not reach one. */
  readonly cause?: unknown;
}

/**
 * Returns the error for a call that failed because of its address; undefined if the address is valid or the call failed
 * for another reason. A mock, or an adapter for Unix sockets, accepts addresses that the network does not.
 */
export function callAddressError(failed: FailedCall): CallAddressError | undefined {
  const { client, method, cause } = failed;
  const fault = cause === undefined || isAboutAddress(cause) ? addressFault(failed) : undefined;
  if (fault === undefined) return undefined;
  const call = `${printableText(method.toUpperCase(), 20)} call of client "${client}"`;
  return new CallAddressError(client, `Cannot send a ${call}: ${fault}`, { cause });
}

/** Maximum length of a chain of causes that is searched. */
const MAX_CAUSES = 3;

/** Judges by the messages of axios and of implementations of `fetch`, on the error or its causes. */
function isAboutAddress(error: unknown, causes = 0): boolean {
  if (typeof error !== 'object' || error === null || causes > MAX_CAUSES) return false;
  const { code, message, response, cause } = error as {
    [Member in 'code' | 'message' | 'response' | 'cause']?: unknown;
  };
  if (response != null) return false;
  const isInMessage = code === 'ERR_INVALID_URL' || /\b(?:URLs?|scheme|protocols?)\b/i.test(String(message));
  return isInMessage || isAboutAddress(cause, causes + 1);
}

function addressFault({ url, noun = 'address', advice }: FailedCall): string | undefined {
  const { protocol } = parseUrl(url) ?? {};
  if (protocol === 'http:' || protocol === 'https:') return undefined;
  if (url === '') return `its ${noun} is empty. ${advice}`;
  // Without a scheme, a user name looks like one.
  const hasScheme = SCHEME.test(url) && (AUTHORITY.test(url) || !url.includes('@'));
  if (protocol && hasScheme) return `its ${noun} begins with "${printableText(protocol, 40)}". Use an https URL.`;
  if (hasScheme) return `its ${noun} ${shown(url)} is not a URL. Correct it.`;
  return `its ${noun} ${shown(url)} is not an absolute URL. ${advice}`;
}

const SCHEME = /^[a-z][a-z\d+.-]*:/i;
const AUTHORITY = /^(?:[a-z][a-z\d+.-]*:)?\/\/+/i;

/**
 * Leaves out the query and what may be a user name and password, also if the password contains delimiters. A path
 * alone may contain `@`.
 */
function shown(url: string): string {
  const [start = ''] = AUTHORITY.exec(url) ?? [];
  const [, path = '', query = ''] = /^([^?#]*)(.*)$/s.exec(url.slice(start.length)) ?? [];
  const isCredential = SCHEME.test(start) ? /^.*@/s : /^(?:[^:]*:.*|[^/]*)@/s;
  // Either the query has an `@`, or the user name or password has a `?` or `#`.
  const rest = query.includes('@') && !path.startsWith('/') ? '…' : path.replace(isCredential, '…@');
  return JSON.stringify(printableText(start + rest, 80));
}
