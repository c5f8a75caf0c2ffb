import { describe, expect, it } from '@jest/globals';
import { type ExecutionContext, Get } from '@nestjs/common';
import fc from 'fast-check';
import {
  type AccessMetadata,
  accessMetadata,
  AllowClients,
  handlerRulesOf,
  isRestricted,
  isRoutedRequest,
  Public,
  recordPlace,
  RequireClaims,
  RequireScopes,
  routeAccess,
  Sensitive,
} from './access-rules.js';

const OPEN = { scopes: [], scopesMode: undefined, clients: undefined, claims: undefined, sensitive: undefined };

describe('the rules of a method and its class', () => {
  it.each<[string, AccessMetadata, AccessMetadata, ReturnType<typeof routeAccess>]>([
    ['none', {}, {}, OPEN],
    ['a public method', { public: true }, {}, 'public'],
    ['a method of a public class', {}, { public: true }, 'public'],
    ['a public method of a restricted class', { public: true }, { clients: ['a'] }, 'public'],
    ['a restricted method of a public class', { clients: ['a'] }, { public: true }, { ...OPEN, clients: ['a'] }],
    ['a public method with a restriction', { public: true, clients: ['a'] }, {}, { ...OPEN, clients: ['a'] }],
    ['a public class with a restriction', {}, { public: true, sensitive: true }, { ...OPEN, sensitive: true }],
    [
      'a public class with a restriction turned off is still no public class',
      {},
      { public: true, sensitive: false },
      { ...OPEN, sensitive: false },
    ],
    [
      'each rule of the method replaces that of the class, and others apply',
      { scopes: ['b'], scopesMode: 'any', clients: ['b'] },
      { scopes: ['a'], scopesMode: 'all', claims: { tenant: 'acme' }, sensitive: true },
      { scopes: ['b'], scopesMode: 'any', clients: ['b'], claims: { tenant: 'acme' }, sensitive: true },
    ],
    [
      'scopes and their mode belong together',
      { clients: ['b'] },
      { scopes: ['a'], scopesMode: 'any' },
      { ...OPEN, scopes: ['a'], scopesMode: 'any', clients: ['b'] },
    ],
    [
      'the method turns a check off',
      { sensitive: false, claims: { a: 1 } },
      { sensitive: true, claims: { b: 1 } },
      { ...OPEN, sensitive: false, claims: { a: 1 } },
    ],
  ])('%s', (_what, method, ofClass, access) => {
    expect(routeAccess(method, ofClass)).toEqual(access);
  });

  it('never make a restricted method public', () => {
    const metadata = fc.record<AccessMetadata>(
      {
        public: fc.constant(true),
        scopes: fc.constant(['a']),
        clients: fc.constant(['a']),
        claims: fc.constant({ a: 1 }),
        sensitive: fc.boolean(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(metadata, metadata, (method, ofClass) => {
        const isPublic = routeAccess(method, ofClass) === 'public';
        expect(isPublic && isRestricted(method)).toBe(false);
        expect(isPublic && !method.public && isRestricted(ofClass)).toBe(false);
      }),
    );
  });
});

describe('decorators', () => {
  it.each<[string, () => unknown, string]>([
    ['no client', () => AllowClients(...([] as unknown as ['a'])), 'found []'],
    ['an empty client', () => AllowClients('a', ''), 'found ["a",""]'],
    ['a client with a blank of a list', () => AllowClients('a', ' b'), 'found ["a"," b"]'],
    ['a client that is no string', () => AllowClients(7 as never), 'found [7]'],
    ['no scope', () => RequireScopes(...([] as unknown as ['a'])), 'found []'],
    ['an empty scope', () => RequireScopes('a', ''), 'found ["a",""]'],
    ['two scopes in one', () => RequireScopes('a b'), 'found ["a b"]'],
    ['any of no scope', () => RequireScopes({ any: [] }), 'found [{"any":[]}]'],
    ['any of an invalid scope', () => RequireScopes({ any: ['a', 'ä'] }), 'found [{"any":["a","ä"]}]'],
    ['any of a string', () => RequireScopes({ any: 'abc' as never }), 'found [{"any":"abc"}]'],
    ['two lists', () => RequireScopes(...([{ any: ['a'] }, { any: ['b'] }] as never as ['a'])), 'found [{"any":["a"]}'],
    ['null as a scope', () => RequireScopes(null as never), 'found [null]'],
    ['no claim', () => RequireClaims({}), 'found {}'],
    ['a list of claims', () => RequireClaims([] as never), 'found []'],
  ])('refuse %s', (_what, decorate, found) => {
    expect(decorate).toThrow(TypeError);
    expect(decorate).toThrow(found);
  });

  it('set rules on a class and its methods, each from the nearest base class; public is not inherited', () => {
    @RequireScopes('a')
    @Public()
    class Base {
      @AllowClients('x')
      restricted() {}

      @Public()
      open() {}
    }
    @Sensitive()
    class Derived extends Base {
      @RequireScopes({ any: ['b', 'c'] })
      override restricted() {}

      override open() {}
    }
    expect(accessMetadata(Base)).toEqual({ scopes: ['a'], scopesMode: 'all', public: true });
    expect(accessMetadata(Derived)).toEqual({ scopes: ['a'], scopesMode: 'all', sensitive: true });
    expect(accessMetadata(Derived.prototype, 'restricted')).toEqual({
      scopes: ['b', 'c'],
      scopesMode: 'any',
      clients: ['x'],
    });
    expect(accessMetadata(Base.prototype, 'open')).toEqual({ public: true });
    expect(accessMetadata(Derived.prototype, 'open')).toEqual({});
  });

  it('can turn the check with the issuer off, and require claims', () => {
    class Users {
      @Sensitive(false)
      @RequireClaims({ tenant: 'acme' })
      list() {}
    }
    expect(accessMetadata(Users.prototype, 'list')).toEqual({ sensitive: false, claims: { tenant: 'acme' } });
  });
});

/** Returns a method as Nest finds it. */
const method = (ofClass: { readonly prototype: object }, name: string) =>
  Reflect.get(ofClass.prototype, name) as () => void;

/** Calls the guard with a handler of a class. */
const contextOf = (ofClass: unknown, handler: unknown, type = 'http') =>
  ({ getClass: () => ofClass, getHandler: () => handler, getType: () => type }) as ExecutionContext;
const rulesOf = (ofClass: unknown, handler: unknown) => handlerRulesOf(contextOf(ofClass, handler));

describe('the rules of a handler', () => {
  class Base {
    @AllowClients('base')
    @Get()
    inherited() {}
  }
  class Users extends Base {
    @AllowClients('a')
    @Get()
    list() {}

    @AllowClients('b')
    plain() {}

    @AllowClients('c')
    ['with space']() {}
  }
  const clientsOf = (access: ReturnType<typeof rulesOf>['access']) =>
    access === 'public' || access === 'unknown' ? access : access.clients;

  it.each<[string, unknown, readonly string[] | 'unknown', boolean]>([
    ['a method with a route', method(Users, 'list'), ['a'], true],
    ['a method without a route', method(Users, 'plain'), ['b'], false],
    ['an inherited method', method(Users, 'inherited'), ['base'], true],
    ['a bound method', method(Users, 'list').bind(new Users()), ['a'], true],
    ['a bound method without a route', method(Users, 'plain').bind(new Users()), ['b'], false],
    ['a bound inherited method', method(Users, 'inherited').bind(new Users()), ['base'], true],
    ['a bound method with a space in its name', method(Users, 'with space').bind(new Users()), ['c'], false],
    ['another function', () => undefined, 'unknown', true],
    ['a bound function of another name', method(Map, 'clear').bind(new Map()), 'unknown', true],
    ['the constructor', Users, 'unknown', true],
  ])('%s', (_what, handler, clients, isRoute) => {
    const { access, unknownRules, ...others } = rulesOf(Users, handler);
    expect([clientsOf(access), unknownRules, others]).toEqual([clients, [], { isRoute }]);
  });

  it.each<[string, string, unknown, boolean]>([
    ['a route', 'http', method(Users, 'list'), true],
    ['a route of an unknown handler', 'http', () => undefined, true],
    ['other code with the type http', 'http', method(Users, 'plain'), false],
    ['a message that a route handles too', 'rpc', method(Users, 'list'), false],
  ])('tell whether the call is a request of the router: %s', (_what, type, handler, expected) => {
    const context = contextOf(Users, handler, type);
    expect(isRoutedRequest(context, handlerRulesOf(context))).toBe(expected);
  });

  it('are those of the method that a wrapper function names by its copied metadata', () => {
    class Wrapped extends Users {}
    const wrapper = () => undefined;
    const list = method(Users, 'list');
    recordPlace({ prototype: Users.prototype, name: 'list' }, list);
    recordPlace({ prototype: Users.prototype, name: 'list' }, list);
    recordPlace({ prototype: Users.prototype, name: 'other' }, list);
    for (const key of Reflect.getMetadataKeys(list)) {
      Reflect.defineMetadata(key, Reflect.getMetadata(key, list), wrapper);
    }
    expect(Reflect.getMetadata('nestjs-identity-m2m:places', list)).toHaveLength(2);
    expect(clientsOf(rulesOf(Wrapped, wrapper).access)).toEqual(['a']);
    // Another class, whose methods are not at that place.
    expect(rulesOf(class {}, wrapper).access).toBe('unknown');
  });

  it('are unknown without a class, as in code that runs outside of controllers', () => {
    expect(rulesOf(null, method(Users, 'list'))).toEqual({ access: 'unknown', unknownRules: [], isRoute: true });
  });

  it('are unknown if a decorator of a newer version set one, on the method or on the class', () => {
    class Newer {
      @Reflect.metadata('nestjs-identity-m2m:rate', 1)
      @AllowClients('a')
      limited() {}

      open() {}
    }
    expect(rulesOf(Newer, method(Newer, 'limited'))).toEqual({
      access: 'unknown',
      unknownRules: ['nestjs-identity-m2m:rate'],
      isRoute: false,
    });
    expect(rulesOf(Newer, method(Newer, 'open'))).toEqual({ access: OPEN, unknownRules: [], isRoute: false });
    Reflect.defineMetadata('nestjs-identity-m2m:window', 1, Newer);
    class Later extends Newer {}
    expect(rulesOf(Later, method(Newer, 'open'))).toMatchObject({
      access: 'unknown',
      unknownRules: ['nestjs-identity-m2m:window'],
    });
  });

  it('are not unknown because of other metadata', () => {
    class Tagged {
      @Reflect.metadata('other:rate', 1)
      @Reflect.metadata(Symbol('rate'), 1)
      list() {}
    }
    expect(rulesOf(Tagged, method(Tagged, 'list')).access).toEqual(OPEN);
  });

  it('are read once for each class', () => {
    class Counted {
      @AllowClients('a')
      list() {}
    }
    class OfAnother extends Counted {}
    const rules = rulesOf(Counted, method(Counted, 'list'));
    expect(rulesOf(Counted, method(Counted, 'list'))).toBe(rules);
    expect(rulesOf(OfAnother, method(Counted, 'list'))).not.toBe(rules);
  });
});
