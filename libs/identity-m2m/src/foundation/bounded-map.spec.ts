import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { BoundedMap } from './bounded-map.js';

it('never grows beyond its limits, returns only the last value of a key, and counts its bytes correctly', () => {
  const step = fc.record({ key: fc.nat(20), bytes: fc.nat(60), what: fc.constantFrom('set', 'set', 'get', 'delete') });
  fc.assert(
    fc.property(fc.nat(8), fc.nat(200), fc.array(step, { maxLength: 100 }), (maxEntries, maxBytes, steps) => {
      const map = new BoundedMap<number>({ maxEntries, maxBytes });
      const put = new Map<string, { readonly value: number; readonly bytes: number }>();
      steps.forEach(({ key, bytes, what }, value) => {
        const name = String(key);
        if (what === 'set') {
          map.set(name, value, bytes);
          put.set(name, { value, bytes });
        } else if (what === 'delete') {
          map.delete(name);
          put.delete(name);
        } else expect([undefined, put.get(name)?.value]).toContain(map.get(name));
        expect(map.size).toBeLessThanOrEqual(maxEntries);
        expect(map.bytes).toBeLessThanOrEqual(maxBytes);
      });
      const held = [...put].filter(([name]) => map.get(name) !== undefined);
      expect(map.size).toBe(held.length);
      expect(map.bytes).toBe(held.reduce((sum, [, { bytes }]) => sum + bytes, 0));
      map.clear();
      expect([map.size, map.bytes]).toEqual([0, 0]);
    }),
  );
});

it('evicts entries that were not read first', () => {
  const map = new BoundedMap<number>({ maxEntries: 3, maxBytes: 100 });
  for (const key of ['a', 'b', 'c']) map.set(key, 1, 10);
  map.get('a');
  map.set('d', 1, 10);
  expect(['a', 'b', 'c', 'd'].filter((key) => map.get(key) !== undefined)).toEqual(['a', 'c', 'd']);
  map.set('e', 1, 90);
  expect([map.get('e'), map.size]).toEqual([1, 2]);
  map.set('f', 1, 101);
  expect(map.get('f')).toBeUndefined();
});
