/** A call to the service that brought no success. */
export abstract class ServiceError extends Error {
  abstract readonly code: string;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The identity provider or the service does not let this client in, or not do that. */
export class NotAuthorisedError extends ServiceError {
  readonly code = 'NOT_AUTHORISED';
}

/** No answer, or one that says to come again later. */
export class ServiceUnreachableError extends ServiceError {
  readonly code = 'SERVICE_UNREACHABLE';

  constructor(
    message: string,
    readonly retryAfterMs?: number,
  ) {
    super(message);
  }
}

/** What answers is not the service, or not one that this client understands. */
export class UnsuitableServiceError extends ServiceError {
  readonly code = 'SERVICE_UNSUITABLE';
}

/** The service will not do what it was asked for, now or later. */
export class ServiceRefusalError extends ServiceError {
  constructor(
    /** The service's own name for the reason: `not_found`, `duplicate` … */
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}
