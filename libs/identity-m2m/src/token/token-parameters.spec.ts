import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { bodyParameters, tokenKey, type TokenParameters } from './token-parameters.js';

const name = fc.string({ minLength: 1, maxLength: 6, unit: fc.constantFrom('a', 'b', ':', '1', '_', ',', '\u0000') });
const texts = fc.array(name, { maxLength: 3 });
const parameters: fc.Arbitrary<TokenParameters> = fc.record(
  {
    scope: fc.oneof(name, texts),
    audience: name,
    resource: fc.oneof(name, texts),
    parameters: fc.dictionary(name, name, { maxKeys: 3 }),
  },
  { requiredKeys: [] },
);

/** What is asked for, in a form that two requests share only if they ask for the same. */
function meaning({ scope, audience, resource, parameters = {} }: TokenParameters): string {
  const set = (value: string | readonly string[] = []) => [...new Set([value].flat())].toSorted();
  return JSON.stringify([
    set(scope),
    audience ?? null,
    set(resource),
    Object.entries(parameters).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  ]);
}

describe('the key of a token', () => {
  it('is the same for requests that ask for the same, and for no others', () => {
    fc.assert(
      fc.property(parameters, parameters, (a, b) => {
        expect(tokenKey(a) === tokenKey(b)).toBe(meaning(a) === meaning(b));
      }),
      { numRuns: 2000 },
    );
  });

  test.each<[string, TokenParameters, TokenParameters]>([
    ['order of scopes', { scope: 'a b' }, { scope: ['b', 'a'] }],
    ['repeated scopes', { scope: 'a a b' }, { scope: 'a b' }],
    ['order of resources', { resource: ['x', 'y'] }, { resource: ['y', 'x'] }],
    ['order of parameters', { parameters: { a: '1', b: '2' } }, { parameters: { b: '2', a: '1' } }],
    ['what is not given', { scope: undefined, parameters: {} }, {}],
  ])('does not depend on: %s', (_name, a, b) => expect(tokenKey(a)).toBe(tokenKey(b)));

  test.each<[string, TokenParameters, TokenParameters]>([
    ['scopes', { scope: 'a' }, { scope: 'b' }],
    ['scope and audience', { scope: 'a' }, { audience: 'a' }],
    ['audience and resource', { audience: 'a' }, { resource: 'a' }],
    ['audience and a parameter of its name', { audience: 'a' }, { parameters: { audience: 'a' } }],
    ['parameters', { parameters: { tenant: 'a' } }, { parameters: { tenant: 'b' } }],
    ['where one text ends and the next begins', { resource: ['a:', 'b'] }, { resource: ['a', ':b'] }],
    ['lengths that are written into a text', { resource: ['a1:b'] }, { resource: ['a', 'b'] }],
    ['names and values', { parameters: { ab: 'c' } }, { parameters: { a: 'bc' } }],
    ['letter case', { scope: 'Users' }, { scope: 'users' }],
    ['composition of characters', { audience: 'é' }, { audience: 'e\u0301' }],
  ])('distinguishes: %s', (_name, a, b) => expect(tokenKey(a)).not.toBe(tokenKey(b)));
});

describe('the body of a token request', () => {
  it('has each resource as a member of its own', () => {
    expect(
      bodyParameters({
        scope: ['a', 'b'],
        audience: 'x',
        resource: ['https://r/1', 'https://r/2'],
        parameters: { p: 'q' },
      }),
    ).toEqual([
      ['scope', 'a b'],
      ['audience', 'x'],
      ['resource', 'https://r/1'],
      ['resource', 'https://r/2'],
      ['p', 'q'],
    ]);
  });
});
