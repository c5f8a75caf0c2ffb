/** The address that was asked for cannot be listened on. */
export class ListenError extends Error {
  readonly code = 'ADDRESS_UNUSABLE';

  constructor(address: string, cause: unknown) {
    const { code } = cause as NodeJS.ErrnoException;
    super(
      `${address} cannot be listened on (${code ?? String(cause)}). Set HOST and PORT to an address of this machine that is free.`,
      { cause },
    );
    this.name = 'ListenError';
  }
}
