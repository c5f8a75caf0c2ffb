import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseTokenLifetime, RestPathPattern } from './application.js';

describe('a token lifetime', () => {
  it.each([
    ['0.05:00:00', 18_000],
    ['1.00:00:01', 86_401],
    ['0.00:00:00', undefined],
    ['05:00:00', undefined],
    ['0.24:00:00', undefined],
    ['0.00:60:00', undefined],
  ])('%s is %s seconds', (text, seconds) => {
    expect(parseTokenLifetime(text)).toBe(seconds);
  });
});

describe('a REST path pattern', () => {
  it.each([
    ['CDirectoryService/.*', '/CDirectoryService/CreateUser', true],
    ['cdirectoryservice/getuser', '/CDirectoryService/GetUsers', true],
    ['CDirectoryService/GetUser$', '/CDirectoryService/GetUsers', false],
    ['/RedRock/query', '/Redrock/query', true],
    ['query', '/Redrock/query', false],
    ['a|b', '/xb', false],
    ['.*', '/anything', true],
  ])('%s against %s: %s', (pattern, path, covers) => {
    expect(new RestPathPattern(pattern).covers(path)).toBe(covers);
  });

  it('ignores the case of a path', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z/]{1,20}$/), (path) => {
        const pattern = new RestPathPattern(path);
        expect(pattern.covers(path.toUpperCase())).toBe(pattern.covers(path.toLowerCase()));
      }),
    );
  });
});
