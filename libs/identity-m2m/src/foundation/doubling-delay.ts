/** A delay that doubles with each failure in a row, up to a cap; in milliseconds. */
export function doublingDelayMs(baseMs: number, capMs: number, priorFailures: number): number {
  return Math.min(capMs, baseMs * 2 ** priorFailures);
}
