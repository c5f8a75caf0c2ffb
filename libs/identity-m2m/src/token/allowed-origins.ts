import { parseUrl } from '../foundation/url.js';

/** A parsed entry of `allowedOrigins`. */
interface OriginRule {
  /** The entry as configured. */
  readonly text: string;
  readonly protocol: string;
  /** The host name, without a leading `*.`. */
  readonly hostname: string;
  readonly isWildcard: boolean;
  readonly port: string;
  /** Without a trailing slash; empty for the whole origin. */
  readonly path: string;
}

/** Whether a call to a URL may carry the token, and why. */
export interface OriginDecision {
  readonly isAllowed: boolean;
  readonly reason:
    | 'allowed'
    /** Not an absolute http or https URL. */
    | 'not_a_url'
    /** The URL contains a user name or password. */
    | 'has_userinfo'
    /** No allowed origin has this scheme, host and port. */
    | 'origin_not_allowed'
    /** An allowed origin has this host, but another scheme. */
    | 'scheme_not_allowed'
    /** The origin is allowed, but only below another path. */
    | 'path_not_allowed'
    /** The path contains an encoded slash or backslash, which servers interpret differently. */
    | 'path_ambiguous';
  /** The allowed origin that decided, as configured. */
  readonly rule?: string;
}

/** Maximum number of origins whose decision is cached. */
const MAX_DECIDED_ORIGINS = 256;

/**
 * Decides which calls may carry the token: those to the allowed origins, and no others.
 *
 * This check parses URLs with the WHATWG URL parser, like the call itself. So both treat letter case, default ports,
 * punycode, dot segments, backslashes and encoded hosts in the same way.
 */
export class AllowedOrigins {
  readonly #rules: readonly OriginRule[];
  /**
   * Decisions that apply to a whole origin, by the origin as the URL parser writes it. A plain map, because every call
   * reads it; it is emptied when it is full.
   */
  readonly #decided = new Map<string, OriginDecision>();

  /** @param rules Valid by {@link originRuleFault}. */
  constructor(rules: Iterable<string>) {
    this.#rules = [...rules].map(parseRule);
  }

  allows(url: string): boolean {
    return this.explain(url).isAllowed;
  }

  explain(url: string): OriginDecision {
    const decided = this.#decided.get(textBeforePath(url));
    if (decided) return decided;
    const parsed = parseUrl(url);
    if (!parsed) return { isAllowed: false, reason: 'not_a_url' };
    const { protocol, username, password, hostname, port, pathname, origin } = parsed;
    if (protocol !== 'https:' && protocol !== 'http:') return { isAllowed: false, reason: 'not_a_url' };
    if (username !== '' || password !== '') return { isAllowed: false, reason: 'has_userinfo' };
    let refusal: OriginDecision = { isAllowed: false, reason: 'origin_not_allowed' };
    let dependsOnPath = false;
    for (const rule of this.#rules) {
      if (!isHostOf(rule, hostname)) continue;
      if (rule.protocol !== protocol) {
        refusal = { isAllowed: false, reason: 'scheme_not_allowed', rule: rule.text };
      } else if (rule.port === port) {
        const decision = decideByPath(rule, pathname);
        dependsOnPath ||= rule.path !== '';
        if (decision.isAllowed) return dependsOnPath ? decision : this.#remember(origin, decision);
        refusal = decision;
      }
    }
    return dependsOnPath ? refusal : this.#remember(origin, refusal);
  }

  #remember(origin: string, decision: OriginDecision): OriginDecision {
    // The application may call any number of origins. After the map is emptied, a few calls decide again.
    if (this.#decided.size >= MAX_DECIDED_ORIGINS) this.#decided.clear();
    this.#decided.set(origin, Object.freeze(decision));
    return decision;
  }
}

/**
 * Returns what is invalid in an entry of `allowedOrigins`; undefined for a valid one.
 *
 * An entry is an origin, `https://api.example`, or an origin with a path, `https://api.example/v2`, which allows the
 * path and everything below it. A star may replace the first label of the host, `https://*.api.example`, and matches
 * exactly one label.
 */
export function originRuleFault(text: string): string | undefined {
  const withoutStar = ruleUrl(text);
  if (withoutStar.includes('*')) return 'has a star in another place than the first label of the host';
  const url = parseUrl(withoutStar);
  if (!url) return 'is not an absolute URL';
  const { protocol, hostname, username, password } = url;
  if (protocol !== 'https:' && protocol !== 'http:') return 'is neither https nor http';
  if (username !== '' || password !== '') return 'has a user name or password';
  if (/[?#]/.test(text)) return 'has a query or fragment';
  if (/%2f|%5c/i.test(withoutStar)) return 'has an encoded slash';
  const isStarred = withoutStar !== text;
  if (isStarred && (!hostname.includes('.') || /^[\d.]+$/.test(hostname))) {
    return 'has a star before a host that is not a domain';
  }
  return undefined;
}

/** Returns the URL of an entry without its star: to check whether plain http is allowed there. */
export function ruleUrl(text: string): string {
  return text.replace(/^(https?:\/\/)\*\./i, '$1');
}

function parseRule(text: string): OriginRule {
  const { protocol, hostname, port, pathname } = new URL(ruleUrl(text));
  const path = pathname.replace(/\/+$/, '');
  return { text, protocol, hostname, isWildcard: ruleUrl(text) !== text, port, path };
}

function decideByPath({ text, path }: OriginRule, pathname: string): OriginDecision {
  if (path === '') return { isAllowed: true, reason: 'allowed', rule: text };
  if (/%2f|%5c/i.test(pathname)) return { isAllowed: false, reason: 'path_ambiguous', rule: text };
  const isBelow = pathname === path || pathname.startsWith(`${path}/`);
  return isBelow
    ? { isAllowed: true, reason: 'allowed', rule: text }
    : { isAllowed: false, reason: 'path_not_allowed', rule: text };
}

/**
 * Returns the part of a URL before its path. If that equals an origin as the URL parser writes it, the URL has this
 * origin whatever follows, because the slash ends the authority.
 */
function textBeforePath(url: string): string {
  const end = url.indexOf('/', 'https://'.length);
  return end === -1 ? url : url.slice(0, end);
}

function isHostOf(rule: OriginRule, hostname: string): boolean {
  if (!rule.isWildcard) return hostname === rule.hostname;
  const label = hostname.slice(0, -rule.hostname.length - 1);
  return hostname === `${label}.${rule.hostname}` && label !== '' && !label.includes('.');
}
