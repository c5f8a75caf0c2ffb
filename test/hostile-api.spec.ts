import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import type {
  CallingApplicationOptions,
  CallingApplicationReport,
  CarrierName,
} from './support/child/calling-application.js';
import { HOSTILE_REFUSALS } from './support/hostile/answers-to-calls.js';
import { closeAll, closeLater } from './support/outbound-applications.js';
import { RawServer } from './support/raw-server.js';
import { undici8 } from './support/undici-versions.js';

// A process that compiles its sources, and makes hundreds of calls, takes its time on a machine that is busy.
jest.setTimeout(120_000);

afterEach(closeAll);

/** Runs an application in a process of its own, which calls an API that answers in every hostile way. */
async function callHostileApi(options: Pick<CallingApplicationOptions, 'carriers' | 'predicate'>) {
  const api = await RawServer.start();
  closeLater(() => api.close());
  api.answer = (socket, request) => HOSTILE_REFUSALS[Number(/^\w+ \/(\d+) /.exec(request)?.[1])]?.answer(socket);
  const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  const child = spawn(process.execPath, [
    '--conditions=@nestjs-identity-m2m/source',
    // Neither AbortSignal.timeout nor a loader's thread keeps a process alive: it ends by itself, and not for want of
    // work.
    '--import',
    'data:text/javascript,setInterval(() => {}, 1_000_000)',
    '--import',
    path('./support/typescript-sources.mjs'),
    path('./support/child/calling-application.ts'),
    JSON.stringify({ ...options, api: api.url, paths: HOSTILE_REFUSALS.length } satisfies CallingApplicationOptions),
  ]);
  closeLater(() => child.kill('SIGKILL'));
  let printed = '';
  let complaints = '';
  child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (complaints += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  expect([code, complaints]).toEqual([0, '']);
  return JSON.parse(printed) as CallingApplicationReport;
}

const versions8: readonly CarrierName[] = undici8 ? ['undici-8'] : [];

describe('an API with every kind of hostile response', () => {
  it.each<[string, readonly CarrierName[], boolean]>([
    ['', ['axios', 'fetch', 'undici', ...versions8], false],
    [' if a predicate checks the responses', ['fetch', 'undici', ...versions8], true],
  ])('call-1: ends no process%s', async (_where, carriers, predicate) => {
    const { ended, renewals } = await callHostileApi({ carriers, predicate });
    expect(ended).toHaveLength(HOSTILE_REFUSALS.length * carriers.length * 3);
    for (const carrier of carriers) {
      const refused = ended.filter((call) => call.startsWith(`${carrier}.`) && call.endsWith(' 401'));
      expect([carrier, refused.length]).toEqual([carrier, expect.any(Number)]);
      expect(refused.length).toBeGreaterThan(HOSTILE_REFUSALS.length / 2);
    }
    expect(renewals).toBeGreaterThan(ended.length / 3);
  });
});
