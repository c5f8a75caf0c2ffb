import type { ZodError } from 'zod';

/** One line per wrong field. Carries no value, because that may be a secret. */
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
