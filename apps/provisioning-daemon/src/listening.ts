import type { INestMicroservice } from '@nestjs/common';

/** The address that was asked for cannot be listened on. */
export class ListenError extends Error {
  readonly code = 'ADDRESS_UNUSABLE';

  constructor({ host }: URL, cause: unknown) {
    const { code } = cause as NodeJS.ErrnoException;
    super(
      `${host} cannot be listened on (${code ?? String(cause)}). Set LISTEN_URL to an address of this machine that is free.`,
      { cause },
    );
    this.name = 'ListenError';
  }
}

/**
 * Resolves when events are taken. By TCP, an address that is not of this machine is an event of the server, and no more:
 * Nest would wait for ever.
 *
 * @throws {@link ListenError}
 */
export async function listening(app: INestMicroservice, address: URL): Promise<void> {
  if (!address.protocol.startsWith('tcp')) return app.listen();
  const failed = new Promise<never>((_resolve, reject) => app.on('error', reject));
  await Promise.race([app.listen(), failed]).catch((cause: unknown) => {
    throw new ListenError(address, cause);
  });
}
