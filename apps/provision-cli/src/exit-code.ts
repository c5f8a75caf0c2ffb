import { IdentityM2MConfigurationError } from 'nestjs-identity-m2m';
import { InputError } from './input/input-error.js';
import { JournalError } from './journal/journal-error.js';
import {
  NotAuthorisedError,
  ServiceRefusalError,
  ServiceUnreachableError,
  UnsuitableServiceError,
} from './service/service-errors.js';
import { SettingsError } from './settings/settings-error.js';

/** What the process tells the one that started it. */
export const EXIT = {
  /** Everything is done. */
  done: 0,
  /** Something was asked for that the service will not do: lines that were rejected, a user that is not there. */
  rejected: 1,
  /** The command line, a setting, the input or the journal is not right. */
  usage: 2,
  /** The identity provider or the service does not let this client do that. */
  notAuthorised: 3,
  /** The service or the identity provider cannot be reached, or not everything could be done. Try again later. */
  unreachable: 4,
  /** Anything else: a full disk, a fault of this program. */
  failure: 5,
  /** Standard output was closed by its reader: 128 and the number of SIGPIPE, as shells have it. */
  brokenPipe: 141,
} as const;

export function exitCodeOf(error: unknown): number {
  const isUsage = [SettingsError, InputError, JournalError, IdentityM2MConfigurationError].some(
    (type) => error instanceof type,
  );
  if (isUsage) return EXIT.usage;
  if (error instanceof NotAuthorisedError) return EXIT.notAuthorised;
  if (error instanceof ServiceUnreachableError || error instanceof UnsuitableServiceError) return EXIT.unreachable;
  return error instanceof ServiceRefusalError ? EXIT.rejected : EXIT.failure;
}
