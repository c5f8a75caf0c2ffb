import type { RunningTenant } from './start-tenant.js';
import { banner } from './tool/banner.js';
import { logLine } from './tool/log-line.js';
import { startOnWantedPorts, toolArgumentsOf } from './tool/start.js';

/** The development tool: starts one tenant, prints its addresses and logs each request. */
async function main(): Promise<void> {
  const toolArguments = toolArgumentsOf(process.argv.slice(2), process.env);
  const colour = process.stdout.isTTY && !process.env.NO_COLOR;
  const tenant = await startOnWantedPorts(toolArguments, (event) => console.log(logLine(event, { colour })));
  endWith(tenant);
  if (process.send) {
    // A parent process prints its own message for the user.
    console.log(`listens on ${tenant.url}, its admin API on ${tenant.adminUrl}`);
    process.send({ type: 'ready', url: tenant.url, adminUrl: tenant.adminUrl });
  } else {
    console.log(banner(tenant, toolArguments.configFile));
  }
}

/** Closes the tenant on a signal, or when the parent process is gone. */
function endWith(tenant: RunningTenant): void {
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= tenant.close().finally(closeChannel);
  };
  for (const event of ['SIGINT', 'SIGTERM', 'disconnect'] as const) process.once(event, close);
}

/** Closes the IPC channel to the parent process, which would keep this one alive. */
function closeChannel(): void {
  if (process.connected) process.disconnect?.();
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
  closeChannel();
});
