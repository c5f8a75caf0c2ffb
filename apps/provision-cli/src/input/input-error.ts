/** The input as a whole cannot be imported; nothing of it has been. */
export class InputError extends Error {
  readonly code = 'INPUT_UNUSABLE';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'InputError';
  }
}
