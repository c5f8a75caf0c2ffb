import { parseUrl } from '../foundation/url.js';

/** One place that a token may go to. */
interface OriginRule {
  /** As it was written. */
  readonly text: string;
  readonly protocol: string;
  /** A host name, or behind `*.` the part of it that is given. */
  readonly hostname: string;
  readonly isWildcard: boolean;
  readonly port: string;
  /** Without a slash at its end; empty for the whole origin. */
  readonly path: string;
}

/** Whether a token may go to an address, and why. */
export interface OriginDecision {
  readonly isAllowed: boolean;
  readonly reason:
    | 'allowed'
    /** Not an absolute http or https URL. */
    | 'not_a_url'
    /** It has a user name or password in it: credentials that the caller chose. */
    | 'has_userinfo'
    /** Scheme, host and port are those of no rule. */
    | 'origin_not_allowed'
    /** The origin is that of a rule, but for https in place of http. */
    | 'scheme_not_allowed'
    /** The origin is bound, but only below another path. */
    | 'path_not_allowed'
    /** A slash or backslash is hidden in the path, so what it means depends on who reads it. */
    | 'path_ambiguous';
  /** The rule that decided, as it was written. */
  readonly rule?: string;
}

/** Most origins whose decision is remembered. */
const MAX_DECIDED_ORIGINS = 256;

/**
 * Decides where a token may go: to the places it is bound to, and nowhere else.
 *
 * Addresses are compared as the WHATWG URL parser understands them, which is also what takes them to the wire; so there
 * is one reading of letter case, default ports, punycode, dot segments, backslashes and encoded hosts.
 */
export class AllowedOrigins {
  readonly #rules: readonly OriginRule[];
  /** Decisions that hold for all of an origin, by the origin as the URL parser writes it. */
  readonly #decided = new Map<string, OriginDecision>();

  /** @param rules Free of faults by {@link originRuleFault}. */
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
    // Callers may be led to any number of origins; starting over costs a few of them one more look.
    if (this.#decided.size >= MAX_DECIDED_ORIGINS) this.#decided.clear();
    this.#decided.set(origin, Object.freeze(decision));
    return decision;
  }
}

/**
 * Why a text cannot be a binding rule; undefined where it can.
 *
 * A rule is an origin, `https://api.example`, or an origin with a path that everything bound is below,
 * `https://api.example/v2`. In place of the first label of the host there may be a star, `https://*.api.example`, which
 * stands for exactly one label.
 */
export function originRuleFault(text: string): string | undefined {
  const withoutStar = text.replace(/^(https?:\/\/)\*\./i, '$1');
  if (withoutStar.includes('*')) return 'a star anywhere but in place of the first label of the host';
  const url = parseUrl(withoutStar);
  if (!url) return 'no absolute URL';
  const { protocol, hostname, username, password, search, hash } = url;
  if (protocol !== 'https:' && protocol !== 'http:') return 'neither https nor http';
  if (username !== '' || password !== '') return 'a user name or password';
  if (search !== '' || hash !== '' || /[?#]/.test(text)) return 'a query or fragment';
  if (/%2f|%5c/i.test(withoutStar)) return 'an encoded slash';
  const isStarred = withoutStar !== text;
  if (isStarred && (!hostname.includes('.') || /^[\d.]+$/.test(hostname) || hostname.startsWith('['))) {
    return 'a star in front of what is no domain';
  }
  return undefined;
}

/** The URL of a rule's origin, with any star taken off: for judging whether plain http is acceptable there. */
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
 * What stands before the path. Where that is an origin as the URL parser writes it, letter for letter, the URL is of that
 * origin whatever follows: the slash ends the part that names it.
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
