import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import {
  bodyParameters,
  parameterFault,
  parametersFault,
  requestedAccess,
  tokenKey,
  type TokenParameters,
} from './token-parameters.js';

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

describe('the parameters of a caller', () => {
  const SCOPE = 'scope must be one or more scopes';
  const AUDIENCE = 'audience must be a string';
  const RESOURCE = 'resource must be one or more absolute URIs without fragment';
  const PARAMETERS = 'parameters must be an object of strings';

  test.each<[string, unknown]>([
    ['none', {}],
    [
      'members that are undefined',
      { scope: undefined, audience: undefined, resource: undefined, parameters: undefined },
    ],
    ['scopes in a string', { scope: 'a b' }],
    ['scopes in a list', { scope: ['a', 'b'] }],
    ['no scopes in a list', { scope: [] }],
    ['an audience', { audience: 'an api' }],
    ['a resource', { resource: 'https://api.example/a?b' }],
    ['resources', { resource: ['https://api.example', 'urn:api'] }],
    ['a further parameter', { parameters: { tenant: 'a', empty: '' } }],
  ])('are valid: %s', (_name, given) => {
    expect(parametersFault(given as TokenParameters)).toBeUndefined();
  });

  test.each<[string, unknown, string]>([
    ['an empty scope', { scope: '' }, SCOPE],
    ['an empty scope in a list', { scope: ['a', ''] }, SCOPE],
    ['two spaces between scopes', { scope: 'a  b' }, SCOPE],
    ['a scope with a quote', { scope: ['a', 'b"'] }, SCOPE],
    ['a scope that is no string', { scope: [1] }, SCOPE],
    ['an audience that is empty', { audience: '' }, AUDIENCE],
    ['an audience that is no string', { audience: ['a'] }, AUDIENCE],
    ['an audience with half a character', { audience: 'a\ud800' }, AUDIENCE],
    ['a resource that is empty', { resource: '' }, RESOURCE],
    ['a resource that is relative', { resource: ['https://api.example', '/users'] }, RESOURCE],
    ['a resource with a fragment', { resource: 'https://api.example/#a' }, RESOURCE],
    ['a resource that is no string', { resource: [new URL('https://api.example')] }, RESOURCE],
    ['parameters that are null', { parameters: null }, PARAMETERS],
    ['parameters in a string', { parameters: 'tenant=a' }, PARAMETERS],
    ['a value that is no string', { parameters: { a: 'b', tenant: 1 } }, 'parameters.tenant: expected a string'],
    ['a value with half a character', { parameters: { tenant: '\ud800' } }, 'parameters.tenant: expected a string'],
    ['an empty name', { parameters: { '': 'a' } }, 'parameters.: expected a string'],
    ['half a character as a name', { parameters: { '\ud800': 'a' } }, 'parameters.\ud800: expected a string'],
  ])('are invalid: %s', (_name, given, fault) => {
    expect(parametersFault(given as TokenParameters)).toBe(fault);
  });

  test.each([
    ['grant_type', 'grant'],
    ['client_id', 'clientId'],
    ['client_secret', 'clientSecret'],
    ['client_assertion', 'clientAuthentication'],
    ['client_assertion_type', 'clientAuthentication'],
    ['assertion', 'grant'],
    ['scope', 'scope'],
    ['audience', 'audience'],
    ['resource', 'resource'],
  ])('cannot set %s, which is the option %s', (name, option) => {
    expect(parameterFault(name, 'a')).toBe(`no parameter ${name}, because the option ${option} sets it`);
  });

  it('are shown in events without those that may be secret', () => {
    expect(requestedAccess({})).toStrictEqual({});
    expect(requestedAccess({ scope: ['a', 'b c'], resource: 'urn:a', parameters: { secret: 'x' } })).toStrictEqual({
      scope: 'a b c',
      resource: ['urn:a'],
    });
    expect(requestedAccess({ audience: 'x', resource: ['urn:a', 'urn:b'] })).toStrictEqual({
      audience: 'x',
      resource: ['urn:a', 'urn:b'],
    });
  });
});

describe('the body of a token request without parameters', () => {
  it('is empty', () => expect(bodyParameters({})).toStrictEqual([]));
});
