import type { INestApplication } from '@nestjs/common';

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  /** Whether that very port was asked for. */
  readonly portIsExplicit: boolean;
}

/** The port that was asked for is taken by another process. */
export class PortTakenError extends Error {
  readonly code = 'PORT_TAKEN';

  constructor(host: string, port: number) {
    super(`Port ${port} on ${host} is taken by another process. Set PORT to a free one, or to 0 for any free one.`);
    this.name = 'PortTakenError';
  }
}

/** There is no listening on the host that was asked for. */
export class ListenError extends Error {
  readonly code = 'ADDRESS_UNUSABLE';

  constructor(host: string, port: number, cause: unknown) {
    const { code } = cause as NodeJS.ErrnoException;
    super(
      `Port ${port} on ${host} cannot be listened on (${code ?? String(cause)}). Set HOST to an address of this machine, and PORT to one that this process may have.`,
      { cause },
    );
    this.name = 'ListenError';
  }
}

/**
 * Listens on the port, or on any free one where it is taken and was nobody's wish.
 *
 * @throws {@link PortTakenError}; {@link ListenError}
 */
export async function listen(app: INestApplication, { host, port, portIsExplicit }: ListenOptions): Promise<string> {
  try {
    await app.listen(port, host);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw new ListenError(host, port, error);
    if (portIsExplicit) throw new PortTakenError(host, port);
    await app.listen(0, host);
  }
  return app.getUrl();
}
