import type { Readable, Writable } from 'node:stream';
import type { Clock } from './clock.js';

/** What a command has of the process around it. */
export interface Surroundings {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly clock: Clock;
  readonly environment: Readonly<Record<string, string | undefined>>;
}
