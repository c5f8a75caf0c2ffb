/** The daemon has not answered in time. Whether it got the event is not known; sent again, it is dealt with once. */
export class NoAnswerError extends Error {
  readonly code = 'NO_ANSWER';

  constructor(timeoutMs: number) {
    super(`no answer within ${timeoutMs} ms`);
    this.name = 'NoAnswerError';
  }
}
