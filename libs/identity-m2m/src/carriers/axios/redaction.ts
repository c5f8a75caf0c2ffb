import type { InternalAxiosRequestConfig } from 'axios';
import type { CallAuthorization } from '../token-carrier.js';

/**
 * Takes the token, and the proof that belongs to it, out of the request object that an HTTP library leaves on its responses
 * and errors.
 *
 * Whoever logs such an error prints the request with it, and with the request the header text that was sent: `util.inspect`
 * shows it at its usual depth. By the time there is a response or an error, that text has done its work.
 *
 * Covers Node's own requests (HTTP/1 and HTTP/2), those of follow-redirects, and `Request` of the Fetch standard.
 */
export function redactRequest(request: unknown, { header, authorization, dpop }: CallAuthorization): void {
  const redacted = header.key === 'authorization' ? REDACTED : { ...REDACTED, [header.key]: REDACTED.authorization! };
  const secrets = dpop === undefined ? [inHead(authorization)] : [inHead(authorization), inHead(dpop)];
  for (const one of requestsOf(request)) redactOne(one, secrets, redacted);
}

/**
 * Keeps connections out of sight of whoever prints or walks a request; they work as before.
 *
 * They are shared: by the time that an error is logged, its connection may carry the next call, with the next call's
 * headers. For errors alone, because it takes longer than all the rest.
 */
export function hideConnections(request: unknown): void {
  for (const one of requestsOf(request)) {
    for (const holder of [one, one.res, one._options]) if (isObject(holder)) hideMembers(holder, CONNECTIONS);
  }
}

/**
 * The same for agents that a config names: theirs are the connections of all calls, and axios writes a config out with the
 * error that it belongs to. The agents stay where they are, so that the config can be sent again.
 */
export function hideConnectionsOfAgents({ httpAgent, httpsAgent }: InternalAxiosRequestConfig): void {
  for (const agent of [httpAgent, httpsAgent] as unknown[]) if (isObject(agent)) hideMembers(agent, AGENT_CONNECTIONS);
}

const CONNECTIONS = ['socket', 'client', 'agent', 'agents'];
const AGENT_CONNECTIONS = ['sockets', 'freeSockets', 'requests'];

/** follow-redirects has a request of its own around each of Node's, with the options for the next hop. */
function requestsOf(request: unknown): AnyObject[] {
  return isObject(request) ? [request, request._currentRequest, request._redirectable].filter(isObject) : [];
}

type HeaderTexts = Readonly<Record<string, string>>;

/** By the name of the header in lower case. */
const REDACTED: HeaderTexts = { authorization: '[access token]', dpop: '[DPoP proof]' };

type AnyObject = Record<PropertyKey, unknown>;

function redactOne(request: AnyObject, secrets: readonly string[], redacted: HeaderTexts): void {
  redactText(request, '_header', secrets);
  redactHeaderTable(request[outgoingHeadersKey(request)], redacted);
  redactHeaders(request.sentHeaders, redacted);
  if (isObject(request._options)) redactHeaders(request._options.headers, redacted);
  if (request instanceof Request) for (const name of Object.keys(redacted)) request.headers.delete(name);
  // What was to be sent, where no connection came about: with the request, and then with its socket.
  redactTexts(request.outputData, 'data', secrets);
  if (isObject(request.socket)) {
    redactText(request.socket, '_pendingData', secrets);
    redactTexts(request.socket._pendingData, 'chunk', secrets);
  }
}

/** With what stands around it: the letters of a short token without a scheme are in other places of a request as well. */
function inHead(value: string): string {
  return `: ${value}\r\n`;
}

function redactText(holder: unknown, key: string, secrets: readonly string[]): void {
  if (!isObject(holder)) return;
  const text = holder[key];
  if (typeof text !== 'string') return;
  holder[key] = secrets.reduce((rest, secret) => rest.replaceAll(secret, inHead('[redacted]')), text);
}

function redactTexts(holders: unknown, key: string, secrets: readonly string[]): void {
  if (Array.isArray(holders)) for (const holder of holders) redactText(holder, key, secrets);
}

function hideMembers(holder: AnyObject, names: readonly string[]): void {
  // Since Node.js 22 a request keeps its socket under a symbol.
  const symbols = Object.getOwnPropertySymbols(holder).filter(({ description }) => description === 'kSocket');
  for (const key of [...names, ...symbols]) {
    let value = Object.getOwnPropertyDescriptor(holder, key)?.value as unknown;
    if (!isObject(value)) continue;
    const accessor = { get: () => value, set: (changed: unknown) => void (value = changed) };
    Object.defineProperty(holder, key, { ...accessor, configurable: true, enumerable: false });
  }
}

/** Node keeps outgoing headers under a symbol, as name and value by the name in lower case. */
function redactHeaderTable(table: unknown, redacted: HeaderTexts): void {
  if (!isObject(table)) return;
  for (const [name, text] of Object.entries(redacted)) {
    const entry = table[name];
    if (Array.isArray(entry)) entry[1] = text;
  }
}

function redactHeaders(headers: unknown, redacted: HeaderTexts): void {
  if (!isObject(headers)) return;
  for (const name of Object.keys(headers)) {
    const text = redacted[name.toLowerCase()];
    if (text !== undefined) headers[name] = text;
  }
}

function isObject(value: unknown): value is AnyObject {
  return typeof value === 'object' && value !== null;
}

/** The symbol is the same for all requests of a process, so it is looked for once. */
let outgoingHeaders: symbol | undefined;

function outgoingHeadersKey(request: object): symbol {
  outgoingHeaders ??= Object.getOwnPropertySymbols(request).find(({ description }) => description === 'kOutHeaders');
  return outgoingHeaders ?? Symbol.for('nestjs-identity-m2m:none');
}
