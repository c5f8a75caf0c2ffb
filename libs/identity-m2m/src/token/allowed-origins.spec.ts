import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { originRuleFault, AllowedOrigins } from './allowed-origins.js';

const explain = (rule: string, url: string) => new AllowedOrigins([rule]).explain(url).reason;

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
  ])('%s goes to %s', (rule, url) => expect(explain(rule, url)).toBe('allowed'));

  test.each([
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
  ])('%s does not go to %s: %s', (rule, url, reason) => expect(explain(rule, url)).toBe(reason));

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
  test.each([
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
  ])('%s and %s: %s', (rule, url, reason) => expect(explain(rule, url)).toBe(reason));
});

describe('a token bound to a domain’s hosts', () => {
  test.each([
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
  ])('%s and %s: %s', (rule, url, reason) => expect(explain(rule, url)).toBe(reason));
});

describe('a binding rule', () => {
  test.each([
    'api.example',
    'ftp://api.example',
    'https://',
    'https://*',
    'https://*.example',
    'https://*.127.0.0.1',
    'https://a.*.example',
    'https://api*.example',
    'https://*.*.example.org',
    'https://api.example/*',
    'https://user@api.example',
    'https://api.example?x',
    'https://api.example/#',
    'https://api.example/a%2Fb',
    '*',
    '',
  ])('%j is none', (rule) => expect(originRuleFault(rule)).toBeDefined());

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

  it('are those that would be made anew, whatever was asked before', () => {
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

  it('are not kept without end', () => {
    const binding = new AllowedOrigins(RULES);
    const first = binding.explain('https://host-0.example/');
    for (let host = 1; host < 1000; host++) binding.explain(`https://host-${host}.example/`);
    expect(binding.explain('https://host-0.example/')).not.toBe(first);
    expect(binding.explain('https://a.example/').isAllowed).toBe(true);
  });
});

it('goes to a host with letters beyond ASCII however often it is asked, which Node’s canParse denies once it runs hot', () => {
  const binding = new AllowedOrigins(['https://xn--bcher-kva.example/v1']);
  const decisions = new Set(Array.from({ length: 20_000 }, () => binding.explain('https://bücher.example/v1').reason));
  expect(decisions).toEqual(new Set(['allowed']));
});
