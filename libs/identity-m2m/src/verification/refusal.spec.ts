import { describe, expect, it, test } from '@jest/globals';
import { oneOf, refuse, shown, shownClaim, shownTime } from './refusal.js';

const letters = (length: number) => 'a'.repeat(length);

describe('the detail of a refusal', () => {
  test.each<[string, unknown, string]>([
    ['a string', 'billing', '"billing"'],
    ['a string of 80 characters', letters(80), `"${letters(80)}"`],
    ['a longer string', letters(81), `"${letters(80)}…"`],
    ['a number', 1, '1'],
    ['a string of digits', '1', '"1"'],
    ['null', null, 'null'],
    ['nothing', undefined, 'undefined'],
    ['true', true, 'true'],
    ['an object', { secret: 'x' }, '{…}'],
    ['a quotation mark', 'a"b', String.raw`"a\"b"`],
    ['a line break', 'a\nb', String.raw`"a\nb"`],
    ['a Cyrillic a', '\u0430', String.raw`"\u0430"`],
    ['a character beyond ASCII', '\u007f', String.raw`"\u007f"`],
    ['an empty list', [], '[]'],
    ['a list', ['a', 1, null, {}, ['b']], '["a", 1, null, {…}, […]]'],
    ['five members', ['a', 'b', 'c', 'd', 'e'], '["a", "b", "c", "d", "e"]'],
    ['seven members', ['a', 'b', 'c', 'd', 'e', 'f', 'g'], '["a", "b", "c", "d", "e", 2 more]'],
    ['a token', 'eyJhbGciOiJub25lIn0.e30.', '[not shown]'],
    ['a list with a token', ['api', 'eyJhbGciOiJub25lIn0.e30.'], '["api", [not shown]]'],
    ['a string that ends as a token begins', 'keyJ', '"keyJ"'],
    [
      'strings of 200 characters together',
      [letters(80), letters(80), letters(28)],
      `["${letters(80)}", "${letters(80)}", "${letters(28)}"]`,
    ],
    ['longer ones', [letters(80), letters(80), letters(29)], `["${letters(80)}", "${letters(80)}", "${letters(29)}"…`],
  ])('shows %s', (_name, value, expected) => {
    expect(shown(value)).toBe(expected);
  });

  test.each<[readonly (string | undefined)[], 'or' | 'and' | undefined, string]>([
    [[], undefined, 'none'],
    [['a'], undefined, '"a"'],
    [['a', 'b'], undefined, '"a" or "b"'],
    [['a', 'b', 'c'], 'and', '"a", "b" and "c"'],
    [['at+jwt', undefined], 'or', '"at+jwt" or none'],
    [['a', 'b', 'c', 'd', 'e'], 'or', '"a", "b", "c", "d" or "e"'],
    [['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'], 'or', '"a", "b", "c", "d", "e" or 3 more'],
    [[letters(80), letters(80), letters(80)], 'or', `"${letters(80)}", "${letters(80)}" or "${letters(29)}…`],
  ])('expects one of %j, joined by %s', (values, join, expected) => {
    expect(oneOf(values, join)).toBe(expected);
  });

  test.each<[unknown, string]>([
    [0, '1970-01-01T00:00:00.000Z'],
    [1_893_456_000.5, '2030-01-01T00:00:00.500Z'],
    ['1893456000', '"1893456000"'],
    [Infinity, 'Infinity'],
    [1e20, '100000000000000000000'],
    [undefined, 'undefined'],
  ])('shows the time %s as %s', (seconds, expected) => {
    expect(shownTime(seconds)).toBe(expected);
  });

  const claims = { aud: 'api', sub: 'alice', tenant: 'acme', 'two words': 'x' };
  test.each<[string, object, readonly string[]]>([
    ['aud', { claim: 'aud', found: '"api"' }, []],
    ['sub', { claim: 'sub', found: '[not shown]' }, []],
    ['tenant', { claim: 'tenant', found: '"acme"' }, ['sub2', 'tenant']],
    ['azp', { claim: 'azp' }, []],
    ['toString', { claim: 'toString' }, []],
    ['two words', { claim: '"two words"', found: '[not shown]' }, []],
  ])('names the claim %s, and shows its value if it is neither secret nor personal', (name, expected, alsoShown) => {
    expect(shownClaim(claims, name, alsoShown)).toEqual(expected);
  });

  test.each(
    ['iss', 'aud', 'typ', 'alg', 'kid', 'azp', 'client_id', 'clientId', 'cid', 'appid'].concat([
      'scope',
      'scp',
      'exp',
      'nbf',
      'iat',
    ]),
  )('shows the value of %s', (name) =>
    expect(shownClaim({ [name]: 'x' }, name)).toEqual({ claim: name, found: '"x"' }),
  );

  test.each([
    [letters(80), letters(80)],
    [letters(81), `"${letters(80)}…"`],
    ['', '""'],
    ['caf\u00e9', String.raw`"caf\u00e9"`],
  ])('quotes a name that is long or not printable: %s', (name, expected) => {
    expect(shownClaim({}, name)).toEqual({ claim: expected });
  });

  it('belongs to the refusal', () => {
    expect(refuse('credential_missing')).toEqual({ ok: false, reason: 'credential_missing' });
    expect(refuse('audience_mismatch', { claim: 'aud' })).toEqual({
      ok: false,
      reason: 'audience_mismatch',
      claim: 'aud',
    });
  });
});
