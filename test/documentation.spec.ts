import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, test } from '@jest/globals';
import type { RefusalReason } from 'nestjs-identity-m2m';
// From inside: pages are compared with the rules that they describe.
import { httpStatus, refusalAnswer } from '../libs/identity-m2m/src/guard/refusal-answer.js';
import { REFUSAL_REASONS } from '../libs/identity-m2m/src/verification/refusal.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (...path: string[]) => readFileSync(join(root, ...path), 'utf8');

/** A page whose references, `[text]` and `[text][name]`, are links: `[text](target)`. */
function readPage(...path: string[]): string {
  const text = read(...path);
  const targets = new Map([...text.matchAll(/^\[([^\]]+)\]: (\S+)$/gm)].map(([, name, target]) => [name!, target!]));
  return text.replaceAll(/\[([^\]]+)\](?:\[([^\]]+)\])?(?![(:\]])/g, (reference, label: string, name?: string) => {
    const target = targets.get(name ?? label);
    return target === undefined ? reference : `[${label}](${target})`;
  });
}

const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md', ...pagesIn('docs'), ...pagesIn('apps')];

function pagesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md') && !name.includes('node_modules'))
    .map((name) => join(folder, name));
}

describe('a page of the documentation', () => {
  test.each(pages)('links to existing files: %s', (page) => {
    const text = readPage(page);
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map(([, link]) => link!);
    expect(links.filter((link) => !existsSync(join(root, dirname(page), link)))).toEqual([]);
    const prose = text.replaceAll(/^```[^]*?^```/gm, '').replaceAll(/`[^`]*`/g, '');
    expect(prose.match(/\[[^\]]+\](?!\(|: )/g) ?? []).toEqual([]);
  });
});

test.each([...pages, ...pagesIn('test')])(
  'no line of a page is longer than 120 characters, but for code: %s',
  (page) => {
    const prose = read(page).replaceAll(/^```[^]*?^```/gm, '');
    expect(prose.split('\n').filter((line) => line.length > 120)).toEqual([]);
  },
);

it('has every page in its index', () => {
  const index = read('docs', 'README.md');
  const isListed = (page: string) => page === 'docs/README.md' || index.includes(`](${relative('docs', page)})`);
  expect([...pagesIn('docs'), ...pagesIn('apps')].filter((page) => !isListed(page))).toEqual([]);
  expect(read('README.md')).toContain('](docs/README.md)');
});

describe('the code on a page', () => {
  test.each([...pagesIn('docs/conversations'), join('docs', 'testing.md')])(
    'is in the file that is named before it: %s',
    (page) => {
      const text = read(page);
      const blocks = [...text.matchAll(/```ts\n([^]*?)```/g)];
      expect(blocks.length).toBeGreaterThan(2);
      const strange = blocks.flatMap(({ index, 1: code }) => {
        const [file] = [...text.slice(0, index).matchAll(/\]\(([^)]+\.ts)\)/g)].at(-1)!.slice(1);
        return partsNotIn(read(dirname(page), file!), code!);
      });
      expect(strange).toEqual([]);
    },
  );

  it('runs in a test, as the counterpart of a call of CyberArk’s SDKs', () => {
    const text = read('docs', 'cyberark-sdk.md');
    const blocks = [...text.matchAll(/```ts\n([^]*?)```/g)].map(([, code]) => code!);
    const answers = [...text.matchAll(/^- [^→]*→((?:.|\n(?!- |\n))*)/gm)].map(([, answer]) => answer!);
    const code = answers.flatMap((answer) => [...answer.matchAll(/`([^`]+)`/g)].map(([, code]) => code!));
    expect(code.length).toBeGreaterThan(20);
    const strange = [...blocks, ...code].flatMap((code) => partsNotIn(read('test', 'cyberark-sdk.spec.ts'), code));
    expect(strange).toEqual([]);
  });
});

it('shows the extractor that a project with @golevelup/nestjs-rabbitmq runs', () => {
  const [, code] = /`@golevelup\/nestjs-rabbitmq` does:\n\n```ts\n([^]*?)```/.exec(read('docs', 'transports.md'))!;
  const [message, extractor] = code!.split('guard: {');
  const project = read('test', 'consumers', 'hosts-nest-11', 'src', 'golevelup.test.ts');
  expect(partsNotIn(project, `${message}…${extractor!.replace(/\}\s*$/, '')}`)).toEqual([]);
});

describe('the table of layers', () => {
  const source = join('libs', 'identity-m2m', 'src');
  const layers = [...read('CONTRIBUTING.md').matchAll(/^\| `([a-z-]+)` +\| /gm)].map(([, layer]) => layer!);

  it('has every layer', () => {
    const folders = readdirSync(join(root, source), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(layers.toSorted()).toEqual(folders.map(({ name }) => name).toSorted());
  });

  test.each(layers)('is in the order in which they import each other: %s', (layer) => {
    const lower = layers.slice(0, layers.indexOf(layer));
    const files = readdirSync(join(root, source, layer), { recursive: true, encoding: 'utf8' });
    const imported = files
      .filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts'))
      .flatMap((name) => [...read(source, layer, name).matchAll(/'(?:\.\.\/)+([a-z-]+)\//g)].map(([, from]) => from!))
      .filter((from) => layers.includes(from));
    expect(imported.filter((from) => !lower.includes(from))).toEqual([]);
  });
});

describe('a page for those who change the library', () => {
  const sources = sourcesIn('libs/identity-m2m/src', 'apps', 'test');
  const names = new Set(sources.match(/[A-Za-z_]\w*/g));

  test.each(['CONTRIBUTING.md', ...pagesIn('docs/decisions'), ...pagesIn('docs/extending')])(
    'names nothing that the sources do not have: %s',
    (page) => {
      const code = [...read(page).matchAll(/`([^`\n]+)`/g)].flatMap(([, span]) => span!.match(/[A-Za-z_]\w*/g) ?? []);
      expect(code.filter((name) => /[a-z][A-Z]/.test(name) && !names.has(name))).toEqual([]);
    },
  );
});

it('quotes messages that the library has, where a page explains them', () => {
  const [, table] = /## When the message is not enough\n\n([^]*?)\n\n/.exec(read('docs', 'token-endpoints.md'))!;
  const quoted = [...table!.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell]) =>
    cell!.match(/(?<=`)[^`]+(?=`(?: |$))/g)!,
  );
  const parts = quoted.filter((text) => text.includes(' ')).flatMap((text) => text.split(/…|HTTP \d+/));
  expect(parts.length).toBeGreaterThan(5);
  const sources = sourcesIn('libs/identity-m2m/src');
  expect(parts.filter((part) => !sources.includes(part.trim()))).toEqual([]);
});

/** The text of every source file in these folders. */
function sourcesIn(...folders: string[]): string {
  const files = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !/node_modules|\bdist\b|\bbuild\b/.test(name))
      .map((name) => join(folder, name)),
  );
  return files.map((file) => read(file)).join('\n');
}

it('shows the revocation store that its tests run', () => {
  const [, store] = /```ts\n(class PolledRevocations [^]*?)```/.exec(read('docs', 'extending', 'revocation-store.md'))!;
  expect(partsNotIn(read('test', 'examples', 'polled-revocations.spec.ts'), store!)).toEqual([]);
});

/** What of an excerpt, which `…` divides into parts, does not stand in the source in this order. */
function partsNotIn(source: string, excerpt: string): string[] {
  let rest = compact(source);
  return excerpt.split('…').filter((part) => {
    const place = rest.indexOf(compact(part));
    if (place >= 0) rest = rest.slice(place + compact(part).length);
    return place < 0;
  });
}

/** Without all that depends on how far code is indented: white space, and commas at the ends of lists. */
function compact(code: string): string {
  return code.replaceAll(/\s+/g, '').replaceAll(/,(?=[)}\]]|$)/g, '');
}

it('gives the Jest configuration that a project of Nest 11 runs its tests with', () => {
  const [, recipe] = /<summary>Jest in a CommonJS project<\/summary>[^]*?```json\n([^]*?)```/.exec(read('README.md'))!;
  const project = ['test', 'consumers', 'nest-11-jest'];
  const { jest } = JSON.parse(read(...project, 'package.json')) as { jest: object };
  for (const config of [jest, JSON.parse(read(...project, 'test', 'jest-e2e.json')) as object]) {
    const { transform, transformIgnorePatterns } = config as Record<string, unknown>;
    expect(JSON.parse(recipe!)).toEqual({ transform, transformIgnorePatterns });
  }
});

it('names existing tests on the page of pitfalls', () => {
  const page = readPage('docs', 'pitfalls.md').replaceAll(/\s+/g, ' ');
  const named = [...page.matchAll(/“([^”]+)” \(\[[^\]]+\]\(\.\.\/([^)]+)\)\)/g)];
  // A test without a file would not be looked for.
  expect(named).toHaveLength([...page.matchAll(/“/g)].length);
  expect(named.length).toBeGreaterThan(50);
  const missing = named
    .filter(([, title, file]) => !read(file!).includes(title!))
    .map(([, title, file]) => `${file}: ${title}`);
  expect(missing).toEqual([]);
});

describe('the page of refusals', () => {
  const sections = [...read('docs', 'refusals.md').matchAll(/^### `(\w+)`\n\nAnswer: HTTP (\d+)\./gm)];

  it('has each reason, and no other', () => {
    expect(sections.map(([, reason]) => reason!).toSorted()).toEqual([...REFUSAL_REASONS].toSorted());
  });

  test.each(sections.map(([, reason, status]) => [reason as RefusalReason, Number(status)] as const))(
    'names the status of the response: %s, %i',
    (reason, status) => expect(httpStatus(refusalAnswer({ ok: false, reason }))).toBe(status),
  );
});

/** The items of a page that begin with an id, each with the test files that it leads to. */
function itemsOf(page: string, id: RegExp): { readonly id: string; readonly files: readonly string[] }[] {
  return [...readPage('docs', page).matchAll(/^- \*\*(\S+)\*\* (?:.|\n(?!- |\n))*/gm)]
    .filter(([, first]) => id.test(first!))
    .map(([item, first]) => ({
      id: first!,
      files: [...item.matchAll(/\]\(\.\.\/([^)]+\.spec\.ts)\)/g)].map(([, file]) => file!),
    }));
}

/**
 * What is named in an item without being there: files that have no test, nor a row of one, whose name begins with its
 * id.
 */
function untested(items: ReturnType<typeof itemsOf>): string[] {
  const isNamed = (id: string, file: string) => new RegExp(`['\`]${id}[ :,'\`]`).test(read(file));
  return items.flatMap(({ id, files }) => files.filter((file) => !isNamed(id, file)).map((file) => `${id}: ${file}`));
}

describe('the page of field cases', () => {
  const CASE = /^(?:srv|out|call|in|host|app)-(?:[A-Z]?\d+|[a-z]+-\d+)$/;
  const items = itemsOf('field-cases.md', CASE);

  it('names each case once, with tests', () => {
    expect(items.length).toBeGreaterThan(110);
    expect(new Set(items.map(({ id }) => id)).size).toBe(items.length);
    expect(items.filter(({ files }) => files.length === 0)).toEqual([]);
  });

  it('names for each case files that have tests with its id', () => expect(untested(items)).toEqual([]));
});

describe('the page of attacks', () => {
  const items = itemsOf('attacks.md', /^[A-Z]\d+b?$/);
  const tested = items.filter(({ files }) => files.length > 0);

  it('names each attack once', () => {
    expect(tested.length).toBeGreaterThan(80);
    expect(new Set(tested.map(({ id }) => id)).size).toBe(tested.length);
  });

  it('names for each attack files that have tests with its id', () => expect(untested(tested)).toEqual([]));

  it('has every attack of the attack suite', () => {
    const sources = ['attack-suite', 'forged-claims', 'forged-encodings', 'forged-signatures'];
    const forged = sources.flatMap((source) => [
      ...read('libs', 'identity-m2m', 'src', 'testing', `${source}.ts`).matchAll(/(?:named|attack)\(\s*'([A-Z]\d+)'/g),
    ]);
    expect(forged.length).toBeGreaterThan(40);
    const listed = tested.map(({ id }) => id);
    expect(forged.map(([, id]) => id!).filter((id) => !listed.includes(id))).toEqual([]);
  });
});

const specs = readdirSync(join(root, 'test')).filter((name) => name.endsWith('.spec.ts'));

test.each(specs)('a test imports public entries, or explains why not: %s', (spec) => {
  const lines = read('test', spec).split('\n');
  const first = lines.findIndex((line) => line.includes("from '../libs/identity-m2m/src/"));
  const start = lines.slice(0, first + 1).findLastIndex((line) => line.startsWith('import '));
  expect(first < 0 || lines[start - 1]?.startsWith('// From inside: ')).toBe(true);
});
