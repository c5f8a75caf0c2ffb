import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { fromEnv, fromFile, isSecretInput, readSecret, type SecretInput, toSecretSource } from './secret-source.js';

const VARIABLE = 'IDENTITY_M2M_TEST_SECRET';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'secret-source-'));
});
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => {
  delete process.env[VARIABLE];
});

const read = async (input: SecretInput) => (await readSecret(toSecretSource(input))).reveal();

describe('a secret', () => {
  it.each([
    ['plain', 'plain'],
    ['\ufeffplain', 'plain'],
    ['plain\n', 'plain'],
    ['plain\r\n\r\n', 'plain'],
    [' pl\nain \n', ' pl\nain '],
    ['plain\ufeff', 'plain\ufeff'],
  ])('%j is read as %j from each source', async (text, secret) => {
    const path = join(folder, 'secret');
    await writeFile(path, text);
    process.env[VARIABLE] = text;
    const sources = [text, () => text, async () => text, fromFile(path), fromEnv(VARIABLE)];
    expect(await Promise.all(sources.map(read))).toEqual(sources.map(() => secret));
  });

  it.each<[string, SecretInput, string]>([
    ['an empty string', '', 'the secret from a fixed value is empty'],
    ['line breaks of a function', () => '\r\n', 'the secret from a function is empty'],
    ['a variable that is not set', fromEnv(VARIABLE), `the secret from environment variable ${VARIABLE} is empty`],
  ])('is not %s', async (_what, input, message) => {
    await expect(read(input)).rejects.toThrow(new Error(message));
  });

  it.each<[unknown]>([[undefined], [null], [7], [['secret']], [Promise.resolve({})]])(
    'is a string, not %p from a function',
    async (value) => {
      await expect(read(() => value as string)).rejects.toThrow(
        new TypeError('the function that fetches the secret returned no string'),
      );
    },
  );

  it('is each time the current one', async () => {
    let version = 0;
    const source = toSecretSource(() => `secret ${++version}`);
    const secrets = [await readSecret(source), await readSecret(source)];
    expect(secrets.map((secret) => secret.reveal())).toEqual(['secret 1', 'secret 2']);
    expect(secrets[0]!.fingerprint).not.toBe(secrets[1]!.fingerprint);
  });
});

describe('a file with a secret', () => {
  it('may have 65,536 bytes, and not one more', async () => {
    const path = join(folder, 'long');
    await writeFile(path, 'a'.repeat(65_536));
    expect(await read(fromFile(path))).toHaveLength(65_536);
    await writeFile(path, 'a'.repeat(65_537));
    await expect(read(fromFile(path))).rejects.toThrow(new RangeError(`file ${path} is longer than 65536 bytes`));
  });

  it('may be missing at boot', async () => {
    const source = fromFile(join(folder, 'missing'));
    expect(source.fault()).toBeUndefined();
    await expect(source.read()).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('the boot', () => {
  it.each<[string, SecretInput, string | undefined]>([
    ['a string', 'secret', undefined],
    ['an empty string', '', 'an empty string'],
    ['a function', () => '', undefined],
    ['a file', fromFile('secret'), undefined],
    ['a file without a path', fromFile(''), 'a file without a path'],
    ['a file without a path', fromFile(undefined as never), 'a file without a path'],
    ['a variable that is not set', fromEnv(VARIABLE), `environment variable ${VARIABLE}, which is not set`],
  ])('finds in %s the right fault', (_what, input, fault) => {
    expect(toSecretSource(input).fault()).toBe(fault);
  });

  it('reads a variable', () => {
    process.env[VARIABLE] = '\ufeff\r\n';
    expect(fromEnv(VARIABLE).fault()).toBe(`environment variable ${VARIABLE}, which has only line breaks`);
    process.env[VARIABLE] = 'secret\n';
    expect(fromEnv(VARIABLE).fault()).toBeUndefined();
  });

  it('names each source in errors', () => {
    const inputs: SecretInput[] = ['secret', () => '', fromFile('a/b'), fromEnv(VARIABLE)];
    expect(inputs.map((input) => toSecretSource(input).description)).toEqual([
      'a fixed value',
      'a function',
      'file a/b',
      `environment variable ${VARIABLE}`,
    ]);
  });
});

describe('a secret in the options', () => {
  it.each<[unknown, boolean]>([
    ['secret', true],
    ['', false],
    ['\ud800', false],
    [() => '', true],
    [fromFile('secret'), true],
    [{ read: () => '' }, false],
    [{ fault: () => undefined }, false],
    [{}, false],
    [null, false],
    [undefined, false],
    [7, false],
  ])('%p: %p', (value, isInput) => {
    expect(isSecretInput(value)).toBe(isInput);
  });
});
