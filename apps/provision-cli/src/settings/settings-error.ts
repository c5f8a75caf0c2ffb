/** What was set up, or asked for, is not right. Lists every fault at once. */
export class SettingsError extends Error {
  readonly code = 'SETTINGS_INVALID';

  constructor(readonly faults: readonly string[]) {
    super(`The settings are not right:\n${faults.map((fault) => `  ${fault}`).join('\n')}\nSee provision-cli --help.`);
    this.name = 'SettingsError';
  }
}

/** Reads settings of two kinds, and tells the faults of both at once. */
export function readBoth<A, B>(readA: () => A, readB: () => B): [A, B] {
  const [a, b] = [attempt(readA), attempt(readB)];
  if ('value' in a && 'value' in b) return [a.value, b.value];
  throw new SettingsError([a, b].flatMap((result) => ('faults' in result ? result.faults : [])));
}

function attempt<T>(read: () => T): { readonly value: T } | { readonly faults: readonly string[] } {
  try {
    return { value: read() };
  } catch (error) {
    if (error instanceof SettingsError) return { faults: error.faults };
    throw error;
  }
}
