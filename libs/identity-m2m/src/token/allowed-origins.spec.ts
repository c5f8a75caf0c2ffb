import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { AllowedOrigins, type OriginDecision, originRuleFault, ruleUrl } from './allowed-origins.js';

const explain = (rule: string, url: string) => new AllowedOrigins([rule]).explain(url);

const NAMING_A_RULE: OriginDecision['reason'][] = [
  'allowed',
  'scheme_not_allowed',
  'path_not_allowed',
  'path_ambiguous',
];

/** The decision for this reason. It names the rule where one is for the host. */
const decision = (reason: OriginDecision['reason'], rule: string): OriginDecision => ({
  isAllowed: reason === 'allowed',
  reason,
  ...(NAMING_A_RULE.includes(reason) && { rule }),
});

describe('a token bound to an origin', () => {
  test.each([
    ['https://api.example', 'https://api.example'],
    ['https://api.example', 'https://api.example/'],
    ['https://api.example', 'https://api.example/any/path?and=query#f'],
    ['https://api.example', 'HTTPS://API.EXAMPLE/'],
    ['https://api.example', 'https://api.example:443/'],
    ['https://api.example:443', 'https://api.example/'],
    ['https://api.example', 'https:\\\\api.example\\path'],
    ['https://api.example', 'https:/api.example/'],
    ['https://api.example', ' https://api.example/ '],
    ['https://api.example', 'ht\ntps://api.exam\tple/'],
    ['https://api.example', 'https://api.example/../..'],
    ['https://api.example', 'https://%61pi.example/'],
    ['https://bücher.example', 'https://xn--bcher-kva.example/'],
    ['https://xn--bcher-kva.example', 'https://BÜCHER.example/'],
    ['https://api.example:8443', 'https://api.example:8443/'],
    ['http://[::1]:4400', 'http://[0:0:0:0:0:0:0:1]:4400/'],
    ['http://127.0.0.1:4400', 'http://127.1:4400/'],
    ['http://127.0.0.1:4400', 'http://0x7f000001:4400/'],
    ['http://127.0.0.1:4400', 'http://2130706433:4400/'],
    ['http://127.0.0.1:4400', 'http://0177.0.0.1:4400/'],
    ['http://127.0.0.1', 'http://127.0.0.1:80/'],
    ['http://127.0.0.1:80', 'http://127.0.0.1/'],
    ['https://api.example:0443', 'https://api.example:443/'],
    ['https://[2001:DB8::1]', 'https://[2001:db8:0:0::1]:443/'],
    ['http://[::ffff:127.0.0.1]:1', 'http://[::ffff:7f00:1]:1/'],
    ['https://api.example.', 'https://api.example./'],
    ['https://api.example', 'https:///api.example/'],
    ['https://api.example', 'https:\t//api.example/\r\n'],
    ['https://api.example', 'https://api.example\\@evil.example/'],
    ['https://api.example', 'https://api.example?@evil.example/'],
    ['https://api.example', 'https://api.example#@evil.example/'],
    ['https://api.example', 'https://api.example/@evil.example/'],
    ['https://api.example', 'https://api%2eexample/'],
    ['https://api.example', 'https://ａｐｉ．example/'],
    ['https://straße.example', 'https://xn--strae-oqa.example/'],
    ['https://api.example', 'https://api.example/a%2fb%5Cc'],
    ['https://api.example///', 'https://api.example/v2'],
  ])('%s goes to %s', (rule, url) => expect(explain(rule, url)).toEqual(decision('allowed', rule)));

  test.each<[string, string, OriginDecision['reason']]>([
    ['https://api.example', 'https://api.example.evil.example/', 'origin_not_allowed'],
    ['https://api.example', 'https://evil-api.example/', 'origin_not_allowed'],
    ['https://api.example', 'https://evil.example/api.example', 'origin_not_allowed'],
    ['https://api.example', 'https://evil.example/?https://api.example', 'origin_not_allowed'],
    ['https://api.example', 'https://evil.example#https://api.example', 'origin_not_allowed'],
    ['https://api.example', 'https://evil.example\\@api.example/', 'origin_not_allowed'],
    ['https://api.example', 'https://api.example@evil.example/', 'has_userinfo'],
    ['https://api.example', 'https://user@api.example/', 'has_userinfo'],
    ['https://api.example', 'https://:password@api.example/', 'has_userinfo'],
    ['https://api.example', 'https://api.example./', 'origin_not_allowed'],
    ['https://api.example', 'https://sub.api.example/', 'origin_not_allowed'],
    ['https://api.example', 'https://example/', 'origin_not_allowed'],
    ['https://api.example', 'http://api.example/', 'scheme_not_allowed'],
    ['https://api.example', 'https://api.example:8443/', 'origin_not_allowed'],
    ['https://api.example', 'https://api.example:80/', 'origin_not_allowed'],
    ['https://api.example', 'https://аpi.example/', 'origin_not_allowed'],
    ['https://api.example', 'wss://api.example/', 'not_a_url'],
    ['https://api.example', 'file:///etc/passwd', 'not_a_url'],
    ['https://api.example', 'data:text/plain,x', 'not_a_url'],
    ['https://api.example', '//api.example/', 'not_a_url'],
    ['https://api.example', '/path', 'not_a_url'],
    ['https://api.example', '', 'not_a_url'],
    ['https://api.example', 'https://', 'not_a_url'],
    ['https://api.example', 'https://api.example:99999/', 'not_a_url'],
    ['https://api.example', 'https://api.exa%00mple/', 'not_a_url'],
    ['http://[::1]:4400', 'http://[::2]:4400/', 'origin_not_allowed'],
    ['http://[::1]:4400', 'http://127.0.0.1:4400/', 'origin_not_allowed'],
    ['http://[::1]:4400', 'http://[::ffff:127.0.0.1]:4400/', 'origin_not_allowed'],
    ['http://[::1]:4400', 'http://[::1%25lo]:4400/', 'not_a_url'],
    ['http://127.0.0.1:4400', 'http://localhost:4400/', 'origin_not_allowed'],
    ['http://localhost:4400', 'http://localhost.:4400/', 'origin_not_allowed'],
    ['https://api.example.', 'https://api.example/', 'origin_not_allowed'],
    ['https://api.example', 'https://api.example..', 'origin_not_allowed'],
    ['https://api.example', 'https://api.example:444/', 'origin_not_allowed'],
    ['https://api.example:8443', 'https://api.example/', 'origin_not_allowed'],
    ['https://api.example', 'https://@api.example@evil.example/', 'has_userinfo'],
    ['https://api.example', 'https://api.example%40evil.example/', 'not_a_url'],
    ['https://api.example', 'https://api.example%2f.evil.example/', 'not_a_url'],
    ['https://api.example', 'https://api.example%00.evil.example/', 'not_a_url'],
    ['https://api.example', 'https://api.example%09.evil.example/', 'not_a_url'],
    ['https://api.example', 'https://evil.exam\nple/', 'origin_not_allowed'],
    ['https://api.example', 'https://api.example\n.evil.example/', 'origin_not_allowed'],
    ['https://api.example', 'https://api .example/', 'not_a_url'],
    ['https://bücher.example', 'https://bucher.example/', 'origin_not_allowed'],
    ['https://bücher.example', 'https://b%C3%BCcher.example.evil.example/', 'origin_not_allowed'],
    ['https://api.example', 'https://xn--pi-6kc.example/', 'origin_not_allowed'],
    ['https://api.example', 'blob:https://api.example/x', 'not_a_url'],
    ['https://api.example', 'javascript:https://api.example/', 'not_a_url'],
    ['http://127.0.0.1:4400', 'http://127.0.0.1.evil.example:4400/', 'origin_not_allowed'],
  ])('%s does not go to %s: %s', (rule, url, reason) => expect(explain(rule, url)).toEqual(decision(reason, rule)));

  it('goes to no origin but its own, whatever the address', () => {
    fc.assert(
      fc.property(
        fc.webUrl({ withFragments: true, withQueryParameters: true }),
        fc.webAuthority(),
        (url, authority) => {
          const rule = `https://${authority.replace(/^.*@/, '')}`;
          fc.pre(originRuleFault(rule) === undefined);
          const isAllowed = new AllowedOrigins([rule]).allows(url);
          expect(isAllowed).toBe(new URL(url).origin === new URL(rule).origin);
        },
      ),
    );
  });
});

describe('a token bound to a path', () => {
  test.each<[string, string, OriginDecision['reason']]>([
    ['https://api.example/v2', 'https://api.example/v2', 'allowed'],
    ['https://api.example/v2', 'https://api.example/v2/', 'allowed'],
    ['https://api.example/v2/', 'https://api.example/v2/users?x', 'allowed'],
    ['https://api.example/v2', 'https://api.example/v2?x', 'allowed'],
    ['https://api.example/v2', 'https://api.example/v1/../v2/users', 'allowed'],
    ['https://api.example/v2', 'https://api.example/', 'path_not_allowed'],
    ['https://api.example/v2', 'https://api.example/v20', 'path_not_allowed'],
    ['https://api.example/v2', 'https://api.example/V2/users', 'path_not_allowed'],
    ['https://api.example/v2', 'https://api.example/v2/../admin', 'path_not_allowed'],
    ['https://api.example/v2', 'https://api.example/v2/%2e%2e/admin', 'path_not_allowed'],
    ['https://api.example/v2', 'https://api.example/v2/..%2fadmin', 'path_ambiguous'],
    ['https://api.example/v2', 'https://api.example/v2/%5C..%5Cadmin', 'path_ambiguous'],
    ['https://api.example/v2', 'https://api.example/v2/%2Fx', 'path_ambiguous'],
    ['https://api.example/v2', 'https://api.example/v2%2fx', 'path_ambiguous'],
    ['https://api.example/v2', 'https://api.example/v2/%5cx', 'path_ambiguous'],
    ['https://api.example/v2//', 'https://api.example/v2/x', 'allowed'],
    ['https://api.example/v2//', 'https://api.example/v20', 'path_not_allowed'],
    ['https://api.example/v2', 'https://api.example/v2\\..\\admin', 'path_not_allowed'],
    ['https://api.example/v2', 'https://api.example\\v2\\x', 'allowed'],
    ['https://api.example/v2', 'https://api.example/v2/.', 'allowed'],
    ['https://api.example/v2', 'https://api.example/v2/..', 'path_not_allowed'],
    ['https://api.example/v2', 'https://api.example/v2/.%2E/x', 'path_not_allowed'],
    ['https://api.example/v2', 'https://api.example/v2/.\t./x', 'path_not_allowed'],
    ['https://api.example/v2', 'https://api.example/%76%32/x', 'path_not_allowed'],
    ['https://api.example/v2', 'https://api.example//v2/x', 'path_not_allowed'],
    ['https://api.example/v2', 'https://api.example/v2//x', 'allowed'],
    ['https://api.example/v2', 'https://api.example/v2;x/y', 'path_not_allowed'],
    ['https://api.example/v2', 'https://api.example/x?/v2/', 'path_not_allowed'],
    ['https://api.example/v2', 'https://api.example/v2/x?%2f', 'allowed'],
    ['https://api.example/v2', 'http://api.example/v2/x', 'scheme_not_allowed'],
    ['https://api.example/v2', 'https://api.example:8443/v2/x', 'origin_not_allowed'],
    ['https://api.example/v1/../v2', 'https://api.example/v2/x', 'allowed'],
  ])('%s and %s: %s', (rule, url, reason) => expect(explain(rule, url)).toEqual(decision(reason, rule)));
});

describe('a token bound to a domain’s hosts', () => {
  test.each<[string, string, OriginDecision['reason']]>([
    ['https://*.api.example', 'https://eu.api.example/', 'allowed'],
    ['https://*.api.example:8443', 'https://eu.api.example:8443/', 'allowed'],
    ['https://*.api.example/v2', 'https://eu.api.example/v2/x', 'allowed'],
    ['https://*.api.example', 'https://api.example/', 'origin_not_allowed'],
    ['https://*.api.example', 'https://a.b.api.example/', 'origin_not_allowed'],
    ['https://*.api.example', 'https://evilapi.example/', 'origin_not_allowed'],
    ['https://*.api.example', 'https://.api.example/', 'origin_not_allowed'],
    ['https://*.api.example', 'https://eu.api.example.evil.example/', 'origin_not_allowed'],
    ['https://*.api.example', 'http://eu.api.example/', 'scheme_not_allowed'],
    ['https://*.api.example', 'https://*.api.example/', 'allowed'],
    ['https://*.api.example', 'https://EU.API.example:443/', 'allowed'],
    ['https://*.api.example', 'https://eu.api.example./', 'origin_not_allowed'],
    ['https://*.api.example', 'https://eu.api.example:8443/', 'origin_not_allowed'],
    ['https://*.api.example', 'https://eu%2eapi.example/', 'allowed'],
    ['https://*.api.example', 'https://a%2eb.api.example/', 'origin_not_allowed'],
    ['https://*.bücher.example', 'https://eu.xn--bcher-kva.example/', 'allowed'],
    ['https://*.api.example/v2', 'https://eu.api.example/v1', 'path_not_allowed'],
  ])('%s and %s: %s', (rule, url, reason) => expect(explain(rule, url)).toEqual(decision(reason, rule)));
});

describe('a binding rule', () => {
  const STAR = 'has a star in another place than the first label of the host';
  const NO_DOMAIN = 'has a star before a host that is not a domain';

  test.each([
    ['api.example', 'is not an absolute URL'],
    ['https://', 'is not an absolute URL'],
    ['', 'is not an absolute URL'],
    ['ftp://api.example', 'is neither https nor http'],
    ['wss://api.example', 'is neither https nor http'],
    ['*', STAR],
    ['https://*', STAR],
    ['https://a.*.example', STAR],
    ['https://api*.example', STAR],
    ['https://*.*.example.org', STAR],
    ['https://api.example/*', STAR],
    ['view-source:https://*.api.example', STAR],
    ['ftp://*.api.example', STAR],
    ['https://*.example', NO_DOMAIN],
    ['https://*.127.0.0.1', NO_DOMAIN],
    ['https://*.2130706433', NO_DOMAIN],
    ['https://*.[::1]', NO_DOMAIN],
    ['https://*.[::ffff:127.0.0.1]', NO_DOMAIN],
    ['https://user@api.example', 'has a user name or password'],
    ['https://:password@api.example', 'has a user name or password'],
    ['https://user:password@api.example', 'has a user name or password'],
    ['https://api.example?x', 'has a query or fragment'],
    ['https://api.example?', 'has a query or fragment'],
    ['https://api.example/#x', 'has a query or fragment'],
    ['https://api.example/#', 'has a query or fragment'],
    ['https://api.example/a%2Fb', 'has an encoded slash'],
    ['https://api.example/a%2fb', 'has an encoded slash'],
    ['https://api.example/a%5Cb', 'has an encoded slash'],
    ['https://api.example/a%5cb', 'has an encoded slash'],
  ])('%j is none: %s', (rule, fault) => expect(originRuleFault(rule)).toBe(fault));

  test.each([
    'https://api.example',
    'http://localhost:4400',
    'http://127.0.0.1:4400',
    'https://[::1]',
    'https://example',
    'https://api.example/v2/',
    'https://api.example/a%20b',
    'https://*.api.example',
    'http://*.api.example:8080/v2',
    'HTTPS://*.API.example',
    'https://*.10.example',
    'https://*.api.example2',
    'https://*.api.example.',
  ])('%j is one', (rule) => expect(originRuleFault(rule)).toBeUndefined());

  test.each([
    ['https://api.example/v2', 'https://api.example/v2'],
    ['https://*.api.example/v2', 'https://api.example/v2'],
    ['http://*.api.example', 'http://api.example'],
    ['HTTPS://*.api.example', 'HTTPS://api.example'],
    ['view-source:https://*.api.example', 'view-source:https://*.api.example'],
  ])('%s has the URL %s', (rule, url) => expect(ruleUrl(rule)).toBe(url));

  it('explains which rule decided', () => {
    const binding = new AllowedOrigins(['https://a.example', 'https://b.example/v2']);
    expect(binding.explain('https://b.example/v2/x')).toEqual({
      isAllowed: true,
      reason: 'allowed',
      rule: 'https://b.example/v2',
    });
    expect(binding.explain('https://b.example/v1')).toMatchObject({ rule: 'https://b.example/v2' });
  });
});

describe('a token bound by several rules', () => {
  const allowedBy = (rule: string): OriginDecision => ({ isAllowed: true, reason: 'allowed', rule });

  it('goes where any of them allows it, whatever their order', () => {
    const [narrow, wide] = ['https://a.example/v2', 'https://a.example'];
    const narrowFirst = new AllowedOrigins([narrow, wide]);
    const wideFirst = new AllowedOrigins([wide, narrow]);
    // Twice, because decisions may be remembered.
    for (const _time of [1, 2]) {
      expect(narrowFirst.explain('https://a.example/v1')).toEqual(allowedBy(wide));
      expect(narrowFirst.explain('https://a.example/v2')).toEqual(allowedBy(narrow));
      expect(wideFirst.explain('https://a.example/v1')).toEqual(allowedBy(wide));
      expect(wideFirst.explain('https://a.example/v2')).toEqual(allowedBy(wide));
    }
  });

  it('goes to each of two paths, also after it was refused at another one', () => {
    const origins = new AllowedOrigins(['https://a.example/v2', 'https://a.example/v3', 'http://a.example']);
    const urls = ['/v1', '/v2', '/v3', '/v1', '/v2', '/v3'].map((path) => `https://a.example${path}`);
    expect(urls.map((url) => origins.allows(url))).toEqual([false, true, true, false, true, true]);
  });

  it('goes to a host under the scheme and port of any rule', () => {
    const origins = new AllowedOrigins(['http://a.example', 'https://a.example:8443', 'https://a.example']);
    expect(origins.explain('https://a.example/')).toEqual(allowedBy('https://a.example'));
    expect(origins.explain('https://a.example:8443/')).toEqual(allowedBy('https://a.example:8443'));
    expect(origins.explain('http://a.example/')).toEqual(allowedBy('http://a.example'));
    expect(origins.allows('http://a.example:8443/')).toBe(false);
  });

  it('is refused with the rule for the host, past rules for others', () => {
    const origins = new AllowedOrigins(['https://b.example', 'http://a.example', 'https://c.example']);
    expect(origins.explain('https://a.example/')).toEqual({
      isAllowed: false,
      reason: 'scheme_not_allowed',
      rule: 'http://a.example',
    });
  });

  it('goes nowhere without a rule', () => {
    expect(new AllowedOrigins([]).explain('https://a.example/')).toEqual({
      isAllowed: false,
      reason: 'origin_not_allowed',
    });
  });
});

describe('decisions that are remembered', () => {
  const RULES = ['https://a.example', 'https://b.example/v2', 'https://*.c.example', 'http://a.example:8080'];
  const mostly = (usual: string, ...others: string[]) =>
    fc.oneof(
      { weight: 2 * others.length, arbitrary: fc.constant(usual) },
      ...others.map((other) => fc.constant(other)),
    );
  const address = fc
    .tuple(
      mostly('https://', 'http://', 'HTTPS://', 'https:\\\\', 'https:/', ' https://', 'ftp://', ''),
      mostly('', 'u@', 'a.example@', 'a.example:443@'),
      fc.constantFrom('a.example', 'A.example', 'b.example', 'x.c.example', 'c.example', 'evil.example', '%61.example'),
      mostly('', ':443', ':80', ':8080', ':'),
      fc.constantFrom('', '/', '/v2', '/v2/x', '/v2/../x', '/@a.example/', '\\@b.example', '?x', '#/', '//a.example'),
    )
    .map((parts) => parts.join(''));

  it('are the same as without a cache, whatever was checked before', () => {
    fc.assert(
      fc.property(fc.array(address, { minLength: 1, maxLength: 40 }), (urls) => {
        const remembering = new AllowedOrigins(RULES);
        for (const url of urls) expect(remembering.explain(url)).toEqual(new AllowedOrigins(RULES).explain(url));
      }),
      { numRuns: 300 },
    );
  });

  it('are made once for an origin that is bound as a whole, or not at all', () => {
    const binding = new AllowedOrigins(RULES);
    for (const origin of ['https://a.example', 'https://evil.example', 'http://b.example']) {
      expect(binding.explain(`${origin}/one`)).toBe(binding.explain(`${origin}/two`));
    }
    expect(binding.explain('https://b.example/v2')).not.toBe(binding.explain('https://b.example/v2'));
  });

  it('are not those of a host that begins or ends alike', () => {
    const origins = new AllowedOrigins(['https://api.example.co']);
    const urls = [
      'https://api.example.co',
      'https://api.example.com',
      'https://api.example.c',
      'https://api.example.co',
    ];
    for (const end of ['', '/', '?', '/x']) {
      expect(urls.map((url) => origins.allows(url + end))).toEqual([true, false, false, true]);
    }
  });

  it('cannot be changed', () => {
    const binding = new AllowedOrigins(RULES);
    const decisions = ['https://a.example/', 'https://evil.example/'].map((url) => binding.explain(url));
    expect(decisions.map((decision) => Object.isFrozen(decision))).toEqual([true, true]);
  });

  it('are kept for 256 origins, and then forgotten', () => {
    const binding = new AllowedOrigins(RULES);
    const explain = (host: number) => binding.explain(`https://host-${host}.example/`);
    const first = explain(0);
    for (let host = 1; host < 256; host++) explain(host);
    const last = explain(255);
    expect(explain(0)).toBe(first);
    const next = explain(256);
    expect(explain(256)).toBe(next);
    expect(explain(255)).not.toBe(last);
    expect(explain(0)).not.toBe(first);
    expect(binding.explain('https://a.example/').isAllowed).toBe(true);
  });
});

it('goes to a host with letters beyond ASCII on each check, which Node’s canParse denies once it runs hot', () => {
  const binding = new AllowedOrigins(['https://xn--bcher-kva.example/v1']);
  const decisions = new Set(Array.from({ length: 20_000 }, () => binding.explain('https://bücher.example/v1').reason));
  expect(decisions).toEqual(new Set(['allowed']));
});
