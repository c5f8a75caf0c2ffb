import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Beginning,
  type Execution,
  type IdempotencyStore,
  IdempotencyStoreOpenError,
  IdempotencyStoreUnavailableError,
  type RequestId,
  type Retention,
} from './idempotency-store.js';
import { DamagedNotesError, type Note, NoteFile } from './note-file.js';

/** Interval at which old notes are removed, in milliseconds. */
const SWEEP_MS = 3600_000;

/**
 * Keeps notes of requests in a folder of this machine, for one instance of the service.
 *
 * The store locks the folder while it is open, and the ledger begins one request of a key at a time. So a request that
 * has begun and not completed is from a process that has ended.
 */
export class EmbeddedStore implements IdempotencyStore {
  /** Keys of requests that this process is carrying out: their notes stay. */
  readonly #underWay = new Set<string>();
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
   * @param now The clock for the age of keys, in milliseconds since the epoch.
   * @throws {@link IdempotencyStoreOpenError}
   */
  static async open(directory: string, retention: Retention, now: () => number = Date.now): Promise<EmbeddedStore> {
    if (holdsOldNotes(directory)) {
      throw new IdempotencyStoreOpenError(
        `The data folder ${directory} has notes of version 0.1.0, which this version cannot read. Set DATA_DIR to another folder. Repeated requests then count as new, and are refused as duplicates if their users exist.`,
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
      this.#underWay.delete(id.key);
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
    this.#underWay.add(key);
    return { kind: 'begun', execution: this.#execution(started), inDoubtSince: note?.startedAt };
  }

  #execution(note: Note): Execution {
    const end = async (ended: Note) => {
      const { client, key } = note;
      try {
        await this.notes.transact(() => {
          this.notes.update(ended);
          this.notes.removeExcess(client, this.retention.maxKeys, this.#underWay);
        });
      } catch (error) {
        throw unavailableError(error);
      } finally {
        this.#underWay.delete(key);
      }
    };
    return {
      // The lock of the folder excludes other processes.
      confirm: () => Promise.resolve(),
      complete: (outcome) => end({ ...note, outcome }),
      giveUp: (wasCarriedOut) => end(wasCarriedOut === 'perhaps' ? note : { ...note, startedAt: undefined }),
    };
  }

  #sweepInBackground(): void {
    this.#sweeping ??= this.#sweep()
      // The next sweep removes the rest; `begin` already ignores notes of that age.
      .catch(() => {})
      .finally(() => (this.#sweeping = undefined));
  }

  async #sweep(): Promise<void> {
    const before = this.now() - this.retention.keepMs;
    while (await this.notes.transact(() => this.notes.removeUntil(before, this.#underWay)));
  }
}

/** Version 0.1.0 kept its notes in LevelDB, which has a file of this name. */
function holdsOldNotes(directory: string): boolean {
  return existsSync(join(directory, 'CURRENT'));
}

/** What the operator can do about damaged notes. */
const REPAIR =
  'Restore a backup of the folder; or move it away, so that the service starts with an empty one. Repeated requests then count as new, and are refused as duplicates if their users exist.';

function openError(directory: string, error: unknown): IdempotencyStoreOpenError {
  const { code = '', message } = error as { readonly code?: string; readonly message: string };
  const text =
    error instanceof DamagedNotesError
      ? `The notes in the data folder ${directory} are damaged (${message}). ${REPAIR}`
      : code.startsWith('SQLITE_BUSY')
        ? `The data folder ${directory} is in use by another process. Give each instance of this service its own DATA_DIR, or one Redis for all (REDIS_URL).`
        : `The data folder ${directory} cannot be opened (${code || message}). Set DATA_DIR to a folder that this process can create or write to, on a disk with room.`;
  return new IdempotencyStoreOpenError(text, { cause: error });
}

function unavailableError(error: unknown): IdempotencyStoreUnavailableError {
  const { code, message } = error as { readonly code?: string; readonly message: string };
  const hint =
    error instanceof DamagedNotesError
      ? `The notes in DATA_DIR are damaged (${message}). Stop the service. ${REPAIR}`
      : `The notes in DATA_DIR cannot be read or written (${code ?? message}). Check that the disk works and has room; the service then recovers by itself.`;
  return new IdempotencyStoreUnavailableError('The store of requests cannot be read or written.', {
    cause: error,
    hint,
  });
}
