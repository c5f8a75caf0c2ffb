import { beforeAll, describe, expect, it, test } from '@jest/globals';
import { generateSigningKey, signatureOf, type SigningKey } from '../testing/signing-key.js';
import { parseCompactJws, tooLong, verifyJws } from './compact-jws.js';
import { type KeyLookup, type KeySet, VerificationKeys } from './key-set.js';
import type { VerificationKey } from './verification-key.js';

const encoded = (content: string | Buffer) => Buffer.from(content as string).toString('base64url');
const HEADER = encoded('{"alg":"ES256"}');
const CLAIMS = encoded('{"iss":"a"}');
/** What a token with these parts is found to be; undefined if it has the form of a signed JWT. */
function fault(...parts: readonly string[]): string | undefined {
  const parsed = parseCompactJws(parts.join('.'));
  if (parsed.ok) return undefined;
  expect(parsed).toMatchObject({ reason: 'token_malformed', expected: 'a signed JWT: three parts in base64url' });
  return parsed.found;
}
const NO_HEADER = 'a header that is not a strict JSON object in base64url';
const NO_CLAIMS = 'claims that are not a strict JSON object in base64url';
const NO_SIGNATURE = 'a signature that is not canonical base64url';
const NO_PARTS = 'not three parts, or an empty one';

describe('a token with the form of a signed JWT', () => {
  it('has a header and claims, whatever its signature', () => {
    expect(parseCompactJws(`${HEADER}.${CLAIMS}.AA`)).toEqual({
      ok: true,
      header: { alg: 'ES256' },
      claims: { iss: 'a' },
    });
  });

  it('that is too long is refused with its length and the limit', () => {
    expect(tooLong(7, 6)).toEqual({
      ok: false,
      reason: 'token_too_long',
      found: '7 characters',
      expected: 'at most 6',
    });
  });

  test.each<[string, string, string]>([
    ['nothing', '', 'a token in one part'],
    ['one part', HEADER, 'a token in one part'],
    ['two parts', `${HEADER}.${CLAIMS}`, NO_PARTS],
    ['four parts', `${HEADER}.${CLAIMS}.AA.AA`, NO_PARTS],
    ['an empty fourth part', `${HEADER}.${CLAIMS}.AA.`, NO_PARTS],
    ['an empty header', `.${CLAIMS}.AA`, NO_PARTS],
    ['a header of one character', `e.${CLAIMS}.AA`, NO_HEADER],
    ['empty claims', `${HEADER}..AA`, NO_CLAIMS],
    ['an empty signature', `${HEADER}.${CLAIMS}.`, NO_SIGNATURE],
    ['a dot alone', '.', NO_PARTS],
    ['dots alone', '..', NO_PARTS],
  ])('is not %s', (_name, token, expected) => {
    expect(fault(token)).toBe(expected);
  });

  test.each<[string, string]>([
    ['header', NO_HEADER],
    ['claims', NO_CLAIMS],
    ['signature', NO_SIGNATURE],
  ])('has nothing but base64url in its %s', (part, expected) => {
    // Eleven characters and one more make a length that base64url can have.
    const good = encoded('{"b":12}');
    for (const stray of ['=', '+', '/', ' ', '\n', '\t', '\u00e9', '%', '@', '[', '`', '{']) {
      for (const text of [`${stray}${good}`, `${good.slice(0, 4)}${stray}${good.slice(4)}`, `${good}${stray}`]) {
        const parts = { header: HEADER, claims: CLAIMS, signature: 'AA', [part]: text };
        expect([text, fault(parts.header, parts.claims, parts.signature)]).toEqual([text, expected]);
      }
    }
  });

  it('has in each part the only spelling of its bytes', () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    for (const start of ['', 'AAAA']) {
      for (const length of [1, 2, 3, 4]) {
        for (const last of alphabet) {
          const text = start + 'A'.repeat(length - 1) + last;
          const isCanonical = encoded(Buffer.from(text, 'base64url')) === text;
          expect([text, fault(HEADER, CLAIMS, text)]).toEqual([text, isCanonical ? undefined : NO_SIGNATURE]);
        }
      }
    }
    // Four bits beyond the last byte, then two.
    const [one, two] = [encoded('{"a":1}'), encoded('{"a":12}')];
    expect([one.slice(-1), two.slice(-1)]).toEqual(['Q', '0']);
    const others = [one.replace(/Q$/, 'R'), two.replace(/0$/, '1')];
    for (const text of others)
      expect([fault(text, CLAIMS, 'AA'), fault(HEADER, text, 'AA')]).toEqual([NO_HEADER, NO_CLAIMS]);
  });

  test.each<[string, string | Buffer]>([
    ['an array', '[{"a":1}]'],
    ['a string', '"a"'],
    ['null', 'null'],
    ['no JSON', '{a:1}'],
    ['a member twice', '{"a":1,"a":1}'],
    ['a byte order mark', '\ufeff{"a":1}'],
    ['bytes that are no UTF-8', Buffer.from('{"a":"\xff"}', 'latin1')],
  ])('has no header and no claims of %s', (_name, content) => {
    const part = encoded(content);
    expect([fault(part, CLAIMS, 'AA'), fault(HEADER, part, 'AA')]).toEqual([NO_HEADER, NO_CLAIMS]);
  });

  const lone = ['d800', 'd9ff', 'dabc', 'dbff', 'dc00', 'dd00', 'debc', 'dfff', 'DFFF', 'Dbff', 'dE00'];
  test.each<[string, string]>([
    ...lone.map((code): [string, string] => [`the half character ${code}`, `\\u${code}`]),
    ['two halves in the wrong order', String.raw`\ude00\ud83d`],
    ['half a character before another escape', String.raw`\ud83d\u0041`],
    ['half a character behind a backslash', String.raw`\\\ud83d`],
    ['half a character behind two backslashes', String.raw`\\\\\ud83d`],
    ['half a character beside a whole one', String.raw`\ud83d\ude00 \ud83d`],
  ])('is none with %s, in a value or in a name', (_name, text) => {
    for (const json of [`{"a":"${text}"}`, `{"a":{"b":["x${text}"]}}`, `{"${text.replaceAll('\\\\', '')}":1}`]) {
      expect([json, fault(HEADER, encoded(json), 'AA')]).toEqual([json, NO_CLAIMS]);
    }
    expect(fault(encoded(`{"a":"${text}"}`), CLAIMS, 'AA')).toBe(NO_HEADER);
  });

  test.each<[string, string, string]>([
    ['a whole character in escape sequences', String.raw`\ud83d\ude00`, '😀'],
    ['a whole character in escape sequences of capitals', String.raw`\uD83D\uDE00`, '😀'],
    ['a whole character', '😀', '😀'],
    ['the last character before the halves', String.raw`\ud7ff`, '\ud7ff'],
    ['the first character after the halves', String.raw`\ue000`, '\ue000'],
    ['a backslash before the digits of a half', String.raw`\\ud83d`, String.raw`\ud83d`],
    ['two backslashes before the digits of a half', String.raw`\\\\ud83d`, String.raw`\\ud83d`],
    ['an escaped control character', String.raw`\u0000\n`, '\0\n'],
  ])('may have %s', (_name, text, value) => {
    const parsed = parseCompactJws(`${HEADER}.${encoded(`{"a":"${text}"}`)}.AA`);
    expect(parsed).toMatchObject({ ok: true, claims: { a: value } });
  });
});

/** A key set that gives its answers one after another, and remembers what it was asked. */
class ScriptedKeySet implements KeySet {
  readonly problem = undefined;
  readonly asked: unknown[][] = [];
  readonly #answers: KeyLookup[];

  constructor(...answers: KeyLookup[]) {
    this.#answers = answers;
  }

  find(...asked: readonly [string | undefined, string, VerificationKeys?]): KeyLookup {
    this.asked.push([...asked]);
    return this.#answers.shift()!;
  }

  current(): undefined {}
  async warmUp(): Promise<void> {}
  stopRefreshing(): void {}
  close(): void {}
}

describe('a signature', () => {
  let signer: SigningKey;
  let [own, other]: VerificationKey[] = [];
  let jws: string;

  beforeAll(async () => {
    const verificationKey = ({ publicKey: key, kid }: SigningKey): VerificationKey => ({
      kid,
      algorithms: ['ES256'],
      key,
      identity: kid,
    });
    signer = await generateSigningKey('ES256', 'own');
    own = verificationKey(signer);
    other = verificationKey(await generateSigningKey('ES256', 'other'));
    const content = `${HEADER}.${CLAIMS}`;
    jws = `${content}.${signatureOf(content, 'ES256', signer.privateKey).toString('base64url')}`;
  });

  const found = (set: VerificationKeys, areNamed: boolean): KeyLookup => ({
    kind: 'found',
    keys: set.list,
    set,
    areNamed,
  });
  const named = { kid: 'k', algorithm: 'ES256' };
  const unnamed = { kid: undefined, algorithm: 'ES256' };
  const INVALID = {
    ok: false,
    reason: 'signature_invalid',
    claim: 'kid',
    expected: 'a signature by a key of the issuer',
  };
  const UNKNOWN = { ok: false, reason: 'key_unknown', claim: 'kid', expected: 'a key of the issuer for ES256' };
  const strangers = () => new VerificationKeys([other!]);
  const owners = () => new VerificationKeys([other!, own!]);

  test.each([true, false])(
    'is verified with each key for it, named or not (%s), and gives that key',
    async (areNamed) => {
      const set = owners();
      const keys = new ScriptedKeySet(found(set, areNamed));
      const verified = await verifyJws(jws, named, keys);
      expect(verified).toEqual({ key: own, set });
      expect(keys.asked).toEqual([['k', 'ES256', undefined]]);
    },
  );

  it('is invalid where no key of that name made it, without another look at the keys', async () => {
    const keys = new ScriptedKeySet(found(strangers(), true));
    expect(await verifyJws(jws, named, keys)).toEqual({ ...INVALID, found: '"k"' });
    expect(keys.asked).toHaveLength(1);
  });

  test.each([named, unnamed])(
    'of a key that its header does not name is verified with a newer set: %j',
    async (header) => {
      const [before, after] = [strangers(), owners()];
      const keys = new ScriptedKeySet(found(before, false), found(after, false));
      expect(await verifyJws(jws, header, keys)).toEqual({ key: own, set: after });
      expect(keys.asked).toEqual([
        [header.kid, 'ES256', undefined],
        [header.kid, 'ES256', before],
      ]);
      expect(keys.asked[1]![2]).toBe(before);
    },
  );

  it('is invalid where no key of the newer set made it either', async () => {
    const keys = new ScriptedKeySet(found(strangers(), false), found(strangers(), false));
    expect(await verifyJws(jws, unnamed, keys)).toEqual(INVALID);
    expect(keys.asked).toHaveLength(2);
  });

  it('is invalid where there is no newer set, and its header names no key', async () => {
    expect(await verifyJws(jws, unnamed, new ScriptedKeySet(found(strangers(), false), { kind: 'unknown' }))).toEqual(
      INVALID,
    );
  });

  it('is of an unknown key where there is no newer set, and its header names a key', async () => {
    const keys = new ScriptedKeySet(found(strangers(), false), { kind: 'unknown' });
    expect(await verifyJws(jws, named, keys)).toEqual({ ...UNKNOWN, found: '"k"' });
  });

  test.each([
    { header: named, expected: { ...UNKNOWN, found: '"k"' } },
    { header: unnamed, expected: UNKNOWN },
  ])('is of an unknown key where the issuer has none for it: $header', async ({ header, expected }) => {
    expect(await verifyJws(jws, header, new ScriptedKeySet({ kind: 'unknown' }))).toEqual(expected);
  });

  it('is undecided while the keys are not available, at first or when they are read again', async () => {
    const unavailable: KeyLookup = { kind: 'unavailable', retryAfterSeconds: 7 };
    const undecided = { ok: false, reason: 'issuer_unavailable', retryAfterSeconds: 7 };
    expect(await verifyJws(jws, named, new ScriptedKeySet(unavailable))).toEqual(undecided);
    expect(await verifyJws(jws, unnamed, new ScriptedKeySet(found(strangers(), false), unavailable))).toEqual(
      undecided,
    );
  });

  it('counts only with the algorithm that was checked', async () => {
    const keys = new ScriptedKeySet(found(owners(), true));
    const verified = await verifyJws(jws, { kid: 'k', algorithm: 'ES384' }, keys);
    expect(verified).toMatchObject({ reason: 'signature_invalid' });
    expect(keys.asked).toEqual([['k', 'ES384', undefined]]);
  });

  it('counts only for what was signed', async () => {
    const changed = jws.replace(CLAIMS, encoded('{"iss":"b"}'));
    const keys = new ScriptedKeySet(found(owners(), true));
    expect(await verifyJws(changed, named, keys)).toMatchObject({ reason: 'signature_invalid' });
  });
});
