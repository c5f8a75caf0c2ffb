import type { ArgumentsHost, ExceptionFilter } from '@nestjs/common';
import { Catch } from '@nestjs/common';
import { type Observable, of, throwError } from 'rxjs';

/**
 * A message was refused, and nobody but the guard may deal with it any more: it has been settled with its broker or
 * answered already, or there is nobody to answer.
 *
 * Filters of the application never see it, because one that acknowledged the message again, or threw into a broker's
 * consumer, would undo what was done.
 */
export class MessageRefusal extends Error {
  override readonly name = 'MessageRefusal';

  /** @param answer What the caller gets, if it waits for anything; undefined where the message just ends here. */
  constructor(readonly answer: object | undefined) {
    super('the message was refused');
  }
}

/** Ends a refused message as the guard wants it ended. Stands on the handlers themselves, before all other filters. */
@Catch(MessageRefusal)
export class MessageRefusalFilter implements ExceptionFilter<MessageRefusal> {
  catch({ answer }: MessageRefusal, _host: ArgumentsHost): Observable<unknown> {
    // Nest waits for a last value of what it runs for Kafka and for streams of gRPC, so there has to be one.
    return answer ? throwError(() => answer) : of(undefined);
  }
}
