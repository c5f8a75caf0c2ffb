import { connect } from 'node:net';
import { describe } from '@jest/globals';

/**
 * Whether a server that a test needs listens on this machine.
 *
 * Says so plainly where it does not, because the tests will be skipped; with `REQUIRE_SERVERS=1` that is an error.
 */
export async function isServerUp(name: string, port: number): Promise<boolean> {
  const isUp = await new Promise<boolean>((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
    socket.setTimeout(2000, () => resolve(false)).on('close', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
  if (isUp) return true;
  const missing = `no ${name} on 127.0.0.1:${port}`;
  if (process.env.REQUIRE_SERVERS === '1') throw new Error(`REQUIRE_SERVERS=1, and there is ${missing}.`);
  console.warn(`Skipped: all tests with ${name}, because there is ${missing}.`);
  return false;
}

/** A group of tests that need a server on this machine; see {@link isServerUp}. */
export async function describeWithServer(
  group: string,
  server: readonly [name: string, port: number],
  tests: () => void,
): Promise<void> {
  // Tests are passed on here, not written.
  // oxlint-disable-next-line jest/valid-title, jest/valid-describe-callback
  if (await isServerUp(...server)) describe(group, tests);
}
