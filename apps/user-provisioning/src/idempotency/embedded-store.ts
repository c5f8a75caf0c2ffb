import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  DamagedNotesError,
  IdempotencyStoreOpenError,
  IdempotencyStoreUnavailableError,
} from './idempotency-errors.js';
import type { Beginning, Execution, IdempotencyStore, RequestId, Retention } from './idempotency-store.js';
import { type Note, NoteFile } from './note-file.js';

/** Interval between removals of notes that are too old, in milliseconds. */
const SWEEP_MS = 3600_000;

/**
 * Keeps notes of requests in a folder of this machine, for one instance of the service.
 *
 * The folder is locked while the store is open, and the ledger before it lets one request of a name through at a time.
 * So a request that was begun and not completed was left behind by a process that is gone.
 */
export class EmbeddedStore implements IdempotencyStore {
  /** Keys of requests that this process works on: their notes are not removed. */
  readonly #inHand = new Set<string>();
  readonly #sweeper: NodeJS.Timeout;
  #sweeping: Promise<void> | undefined;

  private constructor(
    private readonly notes: NoteFile,
    private readonly retention: Retention,
    private readonly now: () => number,
  ) {
    this.#sweeper = setInterval(() => this.#sweepInBackground(), SWEEP_MS).unref();
  }

  /**
   * Opens the store, and verifies every note in it.
   *
   * @param now What keys become old by, in milliseconds since the epoch.
   * @throws {@link IdempotencyStoreOpenError}
   */
  static async open(directory: string, retention: Retention, now: () => number = Date.now): Promise<EmbeddedStore> {
    if (holdsOldNotes(directory)) {
      throw new IdempotencyStoreOpenError(
        `The data folder ${directory} has notes of version 0.1.0, which this version cannot read. Set DATA_DIR to another folder. Requests sent again then count as new ones, and are refused as duplicates where their users exist.`,
      );
    }
    try {
      const notes = await NoteFile.open(directory);
      const store = new EmbeddedStore(notes, retention, now);
      store.#sweepInBackground();
      return store;
    } catch (error) {
      throw openError(directory, error);
    }
  }

  async begin(id: RequestId, contentDigest: string, startedAt: number): Promise<Beginning> {
    try {
      return await this.notes.transact(() => this.#begin(id, contentDigest, startedAt));
    } catch (error) {
      this.#inHand.delete(id.key);
      throw unavailableError(error);
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    await this.#sweeping;
    await this.notes.close();
  }

  #begin({ client, key }: RequestId, digest: string, startedAt: number): Beginning {
    const now = this.now();
    let note = this.notes.find(key);
    if (note && now - note.firstUsedAt >= this.retention.keepMs) {
      this.notes.remove(note);
      note = undefined;
    }
    if (note && note.digest !== digest) return { kind: 'other content' };
    if (note?.outcome !== undefined) return { kind: 'completed', outcome: note.outcome };

    const started: Note = note
      ? { ...note, startedAt: note.startedAt ?? startedAt }
      : { client, key, digest, firstUsedAt: now, startedAt };
    if (note) this.notes.update(started);
    else this.notes.add(started);
    this.#inHand.add(key);
    return { kind: 'begun', execution: this.#execution(started), inDoubtSince: note?.startedAt };
  }

  #execution(note: Note): Execution {
    const end = async (ended: Note) => {
      const { client, key } = note;
      try {
        await this.notes.transact(() => {
          this.notes.update(ended);
          this.notes.removeExcess(client, this.retention.maxKeys, this.#inHand);
        });
      } catch (error) {
        throw unavailableError(error);
      } finally {
        this.#inHand.delete(key);
      }
    };
    return {
      // The lock of the folder keeps other processes out.
      confirm: () => Promise.resolve(),
      complete: (outcome) => end({ ...note, outcome }),
      giveUp: (wasCarriedOut) => end(wasCarriedOut === 'perhaps' ? note : { ...note, startedAt: undefined }),
    };
  }

  #sweepInBackground(): void {
    this.#sweeping ??= this.#sweep()
      // Notes that stay now are removed the next time; meanwhile they are too old to be found.
      .catch(() => {})
      .finally(() => (this.#sweeping = undefined));
  }

  async #sweep(): Promise<void> {
    const before = this.now() - this.retention.keepMs;
    while (await this.notes.transact(() => this.notes.removeUntil(before, this.#inHand)));
  }
}

/** Version 0.1.0 kept its notes in LevelDB, which has a file of this name. */
function holdsOldNotes(directory: string): boolean {
  return existsSync(join(directory, 'CURRENT'));
}

/** What to do about damaged notes. */
const MEND =
  'Put back a backup of the folder; or move it away, so that the service starts with an empty one. Requests sent again then count as new ones, and are refused as duplicates where their users exist.';

function openError(directory: string, error: unknown): IdempotencyStoreOpenError {
  const { code = '', message } = error as { readonly code?: string; readonly message: string };
  const text =
    error instanceof DamagedNotesError
      ? `The notes in the data folder ${directory} are damaged (${message}). ${MEND}`
      : code.startsWith('SQLITE_BUSY')
        ? `The data folder ${directory} is in use by another process. Give each instance of this service a DATA_DIR of its own, or have them share a Redis (REDIS_URL).`
        : `The data folder ${directory} cannot be opened (${code || message}). See that DATA_DIR names a folder that this process may write to, or that can be made, on a disk with room.`;
  return new IdempotencyStoreOpenError(text, { cause: error });
}

function unavailableError(error: unknown): IdempotencyStoreUnavailableError {
  const { code, message } = error as { readonly code?: string; readonly message: string };
  const hint =
    error instanceof DamagedNotesError
      ? `The notes in DATA_DIR are damaged (${message}). End the service. ${MEND}`
      : `The notes in DATA_DIR cannot be read or written (${code ?? message}). See that the disk has room and works; the service then goes on by itself.`;
  return new IdempotencyStoreUnavailableError('The store of requests cannot be read or written.', {
    cause: error,
    hint,
  });
}
