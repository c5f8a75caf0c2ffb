/** A journal cannot be used as it is; nothing has been sent. */
export class JournalError extends Error {
  readonly code = 'JOURNAL_UNUSABLE';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'JournalError';
  }
}
