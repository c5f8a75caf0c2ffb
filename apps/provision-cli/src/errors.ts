import { IdentityM2MConfigurationError } from 'nestjs-identity-m2m';

/** Exit codes of the process. A signal ends it with 128 and the signal's number, as shells do. */
export const EXIT = {
  /** Everything is done. */
  done: 0,
  /** The service will not do a part of it: lines were rejected, or there is no such user. */
  rejected: 1,
  /** The command line, a setting, the input or the journal is not valid. */
  usage: 2,
  /** The identity provider or the service does not authorise this client. */
  notAuthorised: 3,
  /** The service or the identity provider cannot be reached, or lines are still open. Try again later. */
  unreachable: 4,
  /** Anything else: a full disk, a bug in this program. */
  failure: 5,
  /** The reader closed standard output: 128 and the number of SIGPIPE. */
  brokenPipe: 141,
} as const;

export function exitCodeOf(error: unknown): number {
  if (error instanceof CommandError) return error.exitCode;
  return error instanceof IdentityM2MConfigurationError ? EXIT.usage : EXIT.failure;
}

/** Any error that this program expects. Its message is enough for the user: no stack is shown. */
export abstract class CommandError extends Error {
  abstract readonly code: string;
  abstract readonly exitCode: number;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** Settings or options are not valid. Lists every fault at once. */
export class SettingsError extends CommandError {
  readonly code = 'SETTINGS_INVALID';
  readonly exitCode = EXIT.usage;

  constructor(readonly faults: readonly string[]) {
    super(`Invalid settings:\n${faults.map((fault) => `  ${fault}`).join('\n')}\nSee provision-cli --help.`);
  }
}

/** The input as a whole cannot be imported. Nothing of it has been sent. */
export class InputError extends CommandError {
  readonly code = 'INPUT_UNUSABLE';
  readonly exitCode = EXIT.usage;
}

/** The journal cannot be used as it is. Nothing has been sent. */
export class JournalError extends CommandError {
  readonly code = 'JOURNAL_UNUSABLE';
  readonly exitCode = EXIT.usage;
}

/** Output cannot be written although its reader is still there: the disk is full, for example. */
export class OutputError extends CommandError {
  readonly code = 'OUTPUT_UNWRITABLE';
  readonly exitCode = EXIT.failure;

  constructor(cause: Error) {
    super(`The output cannot be written: ${cause.message}`, { cause });
  }
}

/** A call to the service failed. */
export abstract class ServiceError extends CommandError {}

/** The identity provider or the service refuses this client, or refuses it this call. */
export class NotAuthorisedError extends ServiceError {
  readonly code = 'NOT_AUTHORISED';
  readonly exitCode = EXIT.notAuthorised;
}

/** No response, or one that says to try again later. */
export class ServiceUnreachableError extends ServiceError {
  readonly code = 'SERVICE_UNREACHABLE';
  readonly exitCode = EXIT.unreachable;

  constructor(
    message: string,
    readonly retryAfterMs?: number,
  ) {
    super(message);
  }
}

/** The response is not from the service, or from a version that this client does not understand. */
export class UnsuitableServiceError extends ServiceError {
  readonly code = 'SERVICE_UNSUITABLE';
  readonly exitCode = EXIT.unreachable;
}

/** The service refuses the request, now and later. */
export class ServiceRefusalError extends ServiceError {
  readonly exitCode = EXIT.rejected;

  constructor(
    /** The service's own name for the reason: `not_found`, `duplicate` … */
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}
