import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { CallAddressError, callAddressError, type FailedCall } from './call-address-error.js';

const advice = 'Give the whole address.';
const failed = (call: Partial<FailedCall> = {}) =>
  callAddressError({ client: 'billing', method: 'get', url: '/users', advice, ...call });

/** What an HTTP library throws. */
const thrown = (members: object) => Object.assign(new Error('fetch failed'), members);

describe('the address of a call that failed', () => {
  test.each<[string, string]>([
    ['', `its address is empty. ${advice}`],
    ['/users', `its address "/users" is not an absolute URL. ${advice}`],
    ['users/a:b', `its address "users/a:b" is not an absolute URL. ${advice}`],
    ['//api.example/users', `its address "//api.example/users" is not an absolute URL. ${advice}`],
    ['1http://api.example', `its address "1http://api.example" is not an absolute URL. ${advice}`],
    ['ftp://api.example', 'its address begins with "ftp:". Use an https URL.'],
    ['xhttp://api.example', 'its address begins with "xhttp:". Use an https URL.'],
    ['https2://api.example', 'its address begins with "https2:". Use an https URL.'],
    ['https://api example', 'its address "https://api example" is not a URL. Correct it.'],
    ['HTTPS://api example', 'its address "HTTPS://api example" is not a URL. Correct it.'],
    ['a+b-c.d9://api example', 'its address "a+b-c.d9://api example" is not a URL. Correct it.'],
    ['h:// ', 'its address begins with "h:". Use an https URL.'],
    ['mailto:me@api.example', `its address "…@api.example" is not an absolute URL. ${advice}`],
    ['ftp:/a@b', `its address "…@b" is not an absolute URL. ${advice}`],
    ['ftp://a@b', 'its address begins with "ftp:". Use an https URL.'],
    ['urn:?a@b', `its address "…" is not an absolute URL. ${advice}`],
    ['urn:#a@b', `its address "…" is not an absolute URL. ${advice}`],
    ['ws://', 'its address "ws://" is not a URL. Correct it.'],
  ])('is described: "%s"', (url, fault) => {
    expect(failed({ url })?.message).toBe(`Cannot send a GET call of client "billing": ${fault}`);
  });

  test.each(['http://api.example', 'https://api.example/a?b', 'HTTPS://API.EXAMPLE', 'http:api.example'])(
    'is not the cause if it is valid: %s',
    (url) => {
      expect(failed({ url })).toBeUndefined();
      expect(failed({ url, cause: thrown({ code: 'ERR_INVALID_URL' }) })).toBeUndefined();
    },
  );

  test.each<[string, string]>([
    ['/users?token=secret', '"/users"'],
    ['/users#secret', '"/users"'],
    ['/users#a?secret', '"/users"'],
    ['secret:secret@api.example/users', '"…@api.example/users"'],
    ['//secret:secret@api.example/users', '"//…@api.example/users"'],
    ['//secret@secret@api.example/users', '"//…@api.example/users"'],
    ['https://secret@api example/users', '"https://…@api example/users"'],
    ['https://name:pa/secret@host/x', '"https://…@host/x"'],
    ['https:///secret:secret@ho st/', '"https:///…@ho st/"'],
    ['https:/secret:secret@ho st', '"…@ho st"'],
    ['https://name:p#secret@host/x', '"https://…"'],
    ['https://name:p?secret@host/x', '"https://…"'],
    ['name:pa/secret@host', '"…@host"'],
    ['name:p?secret@host', '"…"'],
    ['name:p#secret@host', '"…"'],
    ['//name:pa/secret@host', '"//…@host"'],
    ['///secret@host', '"///…@host"'],
    ['secret@secret:secret/secret@host', '"…@host"'],
    ['na?me:secret@host', '"…"'],
    ['secret?secret@host', '"…"'],
    ['//secret?secret@host', '"//…"'],
    ['/users?email=secret@host', '"/users"'],
    ['users?email=secret@host', '"…"'],
    ['https://host:99999/a/b@c', '"https://…@c"'],
    ['/users/name@host', '"/users/name@host"'],
    ['users/a/name@host', '"users/a/name@host"'],
    ['//api.example/a//name@host', '"//api.example/a//name@host"'],
    ['a\n"b', '"a?\\"b"'],
    [`/${'a'.repeat(79)}`, `"/${'a'.repeat(79)}"`],
    [`/${'a'.repeat(80)}`, `"/${'a'.repeat(79)}…"`],
    ['?secret', '""'],
  ])('is shown without what may be secret, and on one line: %j', (url, shown) => {
    expect(failed({ url })?.message).toContain(`its address ${shown} is not `);
  });

  it('is shown without any part of a user name and password, whatever delimiters they contain', () => {
    const nameWith = (delimiters: string) => fc.string({ unit: fc.constantFrom('Q', 'Z', ...delimiters.split('')) });
    const credentials = fc.oneof(
      nameWith(':@.?# %'),
      // With two slashes, the name cannot be told from a scheme.
      fc.tuple(
        nameWith('@.?# %'),
        nameWith(':@/?#\\ %').filter((password) => !password.startsWith('//')),
      ),
    );
    const prefixes = [
      '',
      '//',
      '///',
      'https:',
      'https:/',
      'https://',
      'https:///',
      ' https://',
      'https:\\\\',
      'ftp://',
    ];
    fc.assert(
      fc.property(
        fc.constantFrom(...prefixes),
        credentials,
        fc.constantFrom('host/x', 'ho st/', 'host?a@b'),
        (prefix, parts, host) => {
          const url = `${prefix}${[parts].flat().join(':')}@${host}`;
          expect(failed({ url })?.message ?? '').not.toMatch(/q|z/i);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('is named as the HTTP library does', () => {
    expect(failed({ noun: 'origin' })?.message).toContain('its origin "/users" is not an absolute URL');
    expect(failed({ noun: 'origin', url: '' })?.message).toContain('its origin is empty');
    expect(failed({ noun: 'origin', url: 'ftp://a' })?.message).toContain('its origin begins with "ftp:"');
    expect(failed({ noun: 'origin', url: 'https://a b' })?.message).toContain('its origin "https://a b" is not a URL');
  });

  it('is shown with the method in capitals, on one line and cut', () => {
    expect(failed({ method: `pa\n${'t'.repeat(30)}` })?.message).toMatch(/^Cannot send a PA\?T{17}… call of client /);
  });

  it('is shown with a scheme of limited length', () => {
    expect(failed({ url: `${'a'.repeat(50)}:x` })?.message).toContain(`begins with "${'a'.repeat(40)}…"`);
  });
});

describe('the error for a call that was not sent', () => {
  it('has the client, the code and the cause', () => {
    const cause = thrown({ code: 'ERR_INVALID_URL' });
    const error = failed({ cause });
    expect(error).toBeInstanceOf(CallAddressError);
    expect(error).toMatchObject({ client: 'billing', code: 'M2M_CALL_ADDRESS_INVALID', cause });
    expect(failed()?.cause).toBeUndefined();
  });

  test.each<[string, unknown]>([
    ['Node’s code', thrown({ code: 'ERR_INVALID_URL' })],
    ['axios: Invalid URL', new TypeError('Invalid URL')],
    ['axios: Unsupported protocol htp:', new Error('Unsupported protocol htp:')],
    ['undici: Failed to parse URL from /users', new TypeError('Failed to parse URL from /users')],
    ['node-fetch: Only absolute URLs are supported', new TypeError('Only absolute URLs are supported')],
    ['undici: unknown scheme', thrown({ cause: new Error('unknown scheme') })],
    ['undici: Invalid URL protocol', new TypeError('Invalid URL protocol: the URL must start with `http:`')],
    ['axios: protocols', new Error('Only HTTP(S) protocols are supported')],
    ['lower case', new TypeError('invalid url')],
    ['an object that is no error', { message: 'Invalid URL' }],
    ['axios, whose errors have an empty response', thrown({ message: 'Invalid URL', response: undefined })],
    ['a response that is null', thrown({ message: 'Invalid URL', response: null })],
  ])('is made if the HTTP library complained about the address: %s', (_name, cause) => {
    expect(failed({ cause })).toBeInstanceOf(CallAddressError);
  });

  test.each<[string, unknown]>([
    ['another reason', new Error('connect ECONNREFUSED')],
    ['another code', thrown({ code: 'ECONNRESET' })],
    ['a response', thrown({ message: 'Invalid URL', response: { status: 404 } })],
    ['a response, with the cause', thrown({ response: { status: 404 }, cause: new TypeError('Invalid URL') })],
    ['a word with URL in it', new Error('curly braces: URLish, aURL')],
    ['a word with scheme in it', new Error('schemes, ascheme')],
    ['a word with protocol in it', new Error('protocolary, aprotocol')],
    ['a string', 'Invalid URL'],
    ['null', null],
    ['a number', 404],
  ])('is not made if the call failed for another reason: %s', (_name, cause) => {
    expect(failed({ cause })).toBeUndefined();
  });

  it('is made for a complaint up to three causes down', () => {
    const nested = (depth: number): unknown =>
      depth === 0 ? new TypeError('Invalid URL') : thrown({ cause: nested(depth - 1) });
    expect([0, 1, 2, 3, 4].map((depth) => failed({ cause: nested(depth) }) !== undefined)).toEqual([
      true,
      true,
      true,
      true,
      false,
    ]);
    const circular = thrown({});
    circular.cause = circular;
    expect(failed({ cause: circular })).toBeUndefined();
  });
});
