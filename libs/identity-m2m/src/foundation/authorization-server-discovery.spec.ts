import { describe, expect, it, test } from '@jest/globals';
import { addressOfIssuer, DiscoveryError } from './authorization-server-discovery.js';
import type { PlainHttp } from './url.js';

describe('an address in an issuer’s metadata', () => {
  const issuer = 'https://id.example/realms/one';
  const addressOf = (address: unknown, plainHttp: PlainHttp = 'never') =>
    addressOfIssuer(issuer, address, 'jwks_uri', plainHttp);

  it('is used on the issuer’s own origin', () => {
    for (const address of ['https://id.example/keys', 'https://id.example:443/', 'https://id.example/realms/two?a=b']) {
      expect(addressOf(address)).toBe(address);
    }
  });

  test.each<[unknown, PlainHttp]>([
    [undefined, 'anywhere'],
    [null, 'anywhere'],
    [5, 'anywhere'],
    [['https://id.example/keys'], 'anywhere'],
    ['', 'anywhere'],
    ['/keys', 'anywhere'],
    ['ftp://id.example/keys', 'anywhere'],
    ['https://user@id.example/keys', 'anywhere'],
    ['http://id.example/keys', 'loopback'],
    ['http://id.example/keys', 'never'],
  ])('is not usable: %j, with plain http allowed %s', (address, plainHttp) => {
    const message = 'the metadata of https://id.example/realms/one names no usable jwks_uri';
    expect(() => addressOf(address, plainHttp)).toThrow(new DiscoveryError('wrong_document', message));
  });

  test.each([
    ['https://other.example/keys', 'https://other.example/keys'],
    ['https://id.example.org/keys', 'https://id.example.org/keys'],
    ['https://id.example:8443/keys', 'https://id.example:8443/keys'],
    ['http://id.example/keys', 'http://id.example/keys'],
    ['https://other.example/ké\n', 'https://other.example/k??'],
    [`https://other.example/${'x'.repeat(300)}`, `https://other.example/${'x'.repeat(178)}…`],
  ])('is on another origin: %j', (address, found) => {
    expect(() => addressOf(address, 'anywhere')).toThrow(
      new DiscoveryError(
        'wrong_document',
        `the metadata of https://id.example/realms/one names the jwks_uri ${found}, which is on another origin. ` +
          'If that is correct, set it in the options',
      ),
    );
  });
});
