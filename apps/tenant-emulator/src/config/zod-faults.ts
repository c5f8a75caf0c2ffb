import type { ZodError } from 'zod';

/** Lists the invalid fields, one line each. Holds no values, because a value may be a secret. */
export function zodFaults(error: ZodError): string[] {
  return error.issues.map(({ path, message }) => `${written(path)}: ${message}`);
}

function written(path: readonly PropertyKey[]): string {
  if (path.length === 0) return '(the whole)';
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
    .replace(/^\./, '');
}
