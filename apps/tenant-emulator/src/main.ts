import type { RunningTenant } from './start-tenant.js';
import { banner } from './tool/banner.js';
import { logLine } from './tool/log-line.js';
import { startOnWantedPorts, toolArgumentsOf } from './tool/start.js';

/** The development tool: one tenant, on well-known ports, that tells how to reach it and logs each request. */
async function main(): Promise<void> {
  const toolArguments = toolArgumentsOf(process.argv.slice(2), process.env);
  const colour = process.stdout.isTTY && !process.env.NO_COLOR;
  const tenant = await startOnWantedPorts(toolArguments, (event) => console.log(logLine(event, { colour })));
  endWith(tenant);
  if (process.send) {
    // A parent process has words of its own for its user.
    console.log(`listens on ${tenant.url}, its admin API on ${tenant.adminUrl}`);
    process.send({ type: 'ready', url: tenant.url, adminUrl: tenant.adminUrl });
  } else {
    console.log(banner(tenant, toolArguments.configFile));
  }
}

/** Ends the tenant at once when it is told to, or when the process that started it is gone. */
function endWith(tenant: RunningTenant): void {
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= tenant.close().finally(closeChannel);
  };
  for (const event of ['SIGINT', 'SIGTERM', 'disconnect'] as const) process.once(event, close);
}

/** An IPC channel to the process that started this one would keep it alive. */
function closeChannel(): void {
  if (process.connected) process.disconnect?.();
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
  closeChannel();
});
