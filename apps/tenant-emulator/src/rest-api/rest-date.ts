/** A time as the REST API writes it. */
export function restDate(ms: number): string {
  return `/Date(${ms})/`;
}
