/** A journal cannot be used as it is; nothing has been sent. */
export class JournalError extends Error {
  readonly code = 'JOURNAL_UNUSABLE';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'JournalError';
  }
}

/** What the file system says where a path is not right, or not for this user. */
const WRONG_PATH = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'EACCES', 'EPERM', 'EROFS', 'ENAMETOOLONG', 'ELOOP']);

/** A {@link JournalError} for an error that has to do with the path; any other error as it is. */
export function errorOfPath(path: string, error: unknown): unknown {
  const { code = '' } = error as NodeJS.ErrnoException;
  if (!WRONG_PATH.has(code)) return error;
  return new JournalError(
    `${path} cannot be written (${code}). Name a journal in a folder that is there and that you may write to: --journal.`,
    { cause: error },
  );
}
