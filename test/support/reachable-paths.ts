/**
 * The ways by which a text can be reached from a value: through own properties of any kind, maps, sets and bytes, as a
 * logger, a debugger or a heap snapshot would find it. Private fields are out of reach for all but the last.
 */
export function reachablePaths(text: string, root: unknown): string[] {
  const paths: string[] = [];
  const seen = new Set<unknown>([globalThis, process]);
  const queue: [unknown, string][] = [[root, '']];
  for (let next = queue.shift(); next; next = queue.shift()) {
    const [value, path] = next;
    if (typeof value === 'string' && value.includes(text)) paths.push(path);
    if ((typeof value !== 'object' && typeof value !== 'function') || value === null || seen.has(value)) continue;
    seen.add(value);
    if (ArrayBuffer.isView(value)) {
      const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      // Slices of Node's pool show what others wrote into it.
      if (value.byteLength < 1_000_000 && bytes.includes(text)) paths.push(`${path} (bytes)`);
      continue;
    }
    if (value instanceof Map)
      for (const [key, entry] of value) queue.push([key, path], [entry, `${path}<${String(key)}>`]);
    if (value instanceof Set) for (const entry of value) queue.push([entry, `${path}<>`]);
    for (const [key, { value: member }] of Object.entries(Object.getOwnPropertyDescriptors(value))) {
      queue.push([member, `${path}.${key}`]);
    }
    for (const key of Object.getOwnPropertySymbols(value)) {
      queue.push([Object.getOwnPropertyDescriptor(value, key)?.value, `${path}[${String(key)}]`]);
    }
  }
  return paths;
}
