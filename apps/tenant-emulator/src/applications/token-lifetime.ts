/** Seconds of a lifetime written `d.hh:mm:ss`, as application settings have it; undefined if it is not one. */
export function parseTokenLifetime(text: string): number | undefined {
  const match = /^(\d{1,5})\.([01]\d|2[0-3]):([0-5]\d):([0-5]\d)$/.exec(text);
  if (!match) return undefined;
  const [days, hours, minutes, seconds] = match.slice(1).map(Number) as [number, number, number, number];
  return ((days * 24 + hours) * 60 + minutes) * 60 + seconds || undefined;
}
