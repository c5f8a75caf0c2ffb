import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { Lab, users } from '../testing/lab.js';
import { decodeJournalLine, encodeJournalLine } from './journal.js';

// Most of it is waiting, but processes take their time to begin on a machine that is busy.
jest.setTimeout(120_000);

const lab = Lab.use();

describe('a journal that was cut', () => {
  it('at any position creates no user twice and loses none, and without its header sends nothing', async () => {
    const path = await lab.file('users.ndjson', users(130) + 'no json\n' + users(50, 'late'));
    await lab.command(['import', path]);
    const journal = await readFile(`${path}.journal`);
    const headerLength = journal.indexOf('\n') + 1;
    await fc.assert(
      fc.asyncProperty(fc.nat(journal.length - 1), fc.boolean(), async (cut, isGarbled) => {
        // A power cut may leave the length of what was written without its content.
        const rest = Buffer.alloc(isGarbled ? journal.length - cut : 0);
        await writeFile(`${path}.journal`, Buffer.concat([journal.subarray(0, cut), rest]));
        const { batches } = lab.service;
        const { exitCode } = await lab.command(['import', path]);
        if (cut < headerLength) {
          expect(exitCode).toBe(2);
          expect(lab.service.batches).toBe(batches);
        } else expect(exitCode).toBe(1);
        expect(lab.service.made.size).toBe(180);
        expect(lab.service.doubled).toEqual([]);
        expect(await lab.rejects(path)).toHaveLength(1);
      }),
      {
        numRuns: 15,
        examples: [
          [0, false],
          [headerLength, false],
          [headerLength - 1, false],
        ],
      },
    );
  });
});

describe('a line of a journal', () => {
  it('is invalid after a change of a single character', () => {
    const line = encodeJournalLine({ created: [[12, 34]], rejected: [[5, 6]] });
    expect(decodeJournalLine(line)).toEqual({ created: [[12, 34]], rejected: [[5, 6]] });
    fc.assert(
      fc.property(fc.nat(line.length - 1), fc.string({ minLength: 1, maxLength: 1 }), (at, character) => {
        fc.pre(character !== line[at]);
        expect(decodeJournalLine(line.slice(0, at) + character + line.slice(at + 1))).toBeUndefined();
      }),
      { examples: [[line.indexOf('12'), '9']] },
    );
  });
});
