import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { parseStrictJsonObject } from './strict-json.js';

describe('a JSON object', () => {
  test.each([
    ['{}', {}],
    [' {"a" : 1}\n', { a: 1 }],
    ['{"a":"b:c"}', { a: 'b:c' }],
    [String.raw`{"a":"\":","b":"\\"}`, { a: '":', b: '\\' }],
    [
      String.raw`{"https:\/\/users.example\/roles" : ["\u0061"], "\u0061":1}`,
      { 'https://users.example/roles': ['a'], a: 1 },
    ],
    ['{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}', { a: { a: { a: 1 } }, b: [{ a: 1 }, { a: 2 }] }],
  ])('is read: %s', (text, value) => {
    expect(parseStrictJsonObject(text)).toEqual({ ok: true, value });
  });

  test.each([
    ['', 'not_json'],
    ['{"a":1', 'not_json'],
    ['{"a":1}{}', 'not_json'],
    ['null', 'not_an_object'],
    ['[{"a":1}]', 'not_an_object'],
    ['{"a":1,"a":1}', 'duplicate_member'],
    ['{"b":[{"a":1,"b":2,"a":3}]}', 'duplicate_member'],
    [String.raw`{"sub":1,"\u0073ub":2}`, 'duplicate_member'],
    [String.raw`{"\\":1}`, 'unreadable_name'],
    [String.raw`{"a":{"\u0022":1}}`, 'unreadable_name'],
    [String.raw`{"a\n":1}`, 'unreadable_name'],
    [String.raw`{"\u00zz":1}`, 'not_json'],
    [String.raw`{"a\":1}`, 'not_json'],
    [String.raw`:"\u0061":`, 'not_json'],
    ['{"__proto__":1,"__proto__":2}', 'duplicate_member'],
    ['{"1":1,"1":2}', 'duplicate_member'],
    ['{"":1,"":2}', 'duplicate_member'],
    [`{"a":${'['.repeat(32)}${']'.repeat(32)}}`, 'too_deep'],
  ])('is refused: %s, %s', (text, fault) => {
    expect(parseStrictJsonObject(text)).toEqual({ ok: false, fault });
  });

  it('has the names that were written, whatever was parsed before: Node.js 24 confuses names with escape sequences', () => {
    for (let time = 0; time < 3; time++) {
      parseStrictJsonObject(String.raw`{"iss":1,"\\u0":1}`);
      JSON.parse(String.raw`{"iss":1,"\\u0":1}`);
      expect(parseStrictJsonObject(String.raw`{"iss":1,"\u0063nf":2}`)).toEqual({
        ok: true,
        value: { iss: 1, cnf: 2 },
      });
      expect(parseStrictJsonObject(String.raw`{"iss":1,"\u0069ss":2}`)).toEqual({
        ok: false,
        fault: 'duplicate_member',
      });
    }
  });

  it('may be 32 levels deep, and no deeper', () => {
    const nested = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
    expect(parseStrictJsonObject(nested(32))).toMatchObject({ ok: true });
    expect(parseStrictJsonObject(nested(33))).toEqual({ ok: false, fault: 'too_deep' });
    expect(parseStrictJsonObject(nested(100_000))).toEqual({ ok: false, fault: 'too_deep' });
  });

  it('is refused exactly if one of its objects has a name twice, for any names and values', () => {
    const { object } = fc.letrec<{ value: Written; object: Written }>((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc
          .jsonValue({ maxDepth: 0 })
          .map((value) => JSON.stringify(value))
          .map((text) => ({ text, value: JSON.parse(text) as unknown, isUnique: true })),
        fc.array(tie('value'), { maxLength: 3 }).map((members) => ({
          text: `[${members.map(({ text }) => text).join(' , ')}]`,
          value: members.map(({ value }) => value),
          isUnique: members.every(({ isUnique }) => isUnique),
        })),
        tie('object'),
      ),
      object: fc.array(fc.tuple(name, tie('value')), { maxLength: 4 }).map((members) => ({
        text: `{ ${members.map(([written, { text }]) => `${written} :${text}`).join(',')} }`,
        value: Object.fromEntries(members.map(([written, { value }]) => [JSON.parse(written) as string, value])),
        isUnique:
          new Set(members.map(([written]) => JSON.parse(written) as string)).size === members.length &&
          members.every(([, { isUnique }]) => isUnique),
      })),
    }));
    const seen = { unique: 0, repeated: 0 };
    fc.assert(
      fc.property(object, ({ text, value, isUnique }) => {
        seen[isUnique ? 'unique' : 'repeated']++;
        const result = parseStrictJsonObject(text);
        expect(result).toEqual(isUnique ? { ok: true, value } : { ok: false, fault: 'duplicate_member' });
      }),
      { numRuns: 2000 },
    );
    expect(Math.min(seen.unique, seen.repeated)).toBeGreaterThan(200);
  });
});

interface Written {
  readonly text: string;
  /** What it says. */
  readonly value: unknown;
  /** Whether no object in it has a name twice. */
  readonly isUnique: boolean;
}

/** A member's name as it stands in a text. */
const name = fc.oneof(
  fc.constantFrom('"a"', String.raw`"\u0061"`, '"__proto__"', '"1"', '""', String.raw`"\/"`, '"/"', '":"'),
  fc
    .string()
    .map((text) => JSON.stringify(text))
    .filter((written) => !written.includes('\\')),
);
