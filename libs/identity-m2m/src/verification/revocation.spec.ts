import { describe, expect, it, test } from '@jest/globals';
import { ManualClock } from '../testing/manual-clock.js';
import { InMemoryRevocations, type Revocation, RevocationsFullError, type RevocableToken } from './revocation.js';
const issuer = 'https://id.example';
const at = (text: string) => new Date(`2030-01-01T${text}Z`);
const token = (more: Partial<RevocableToken> = {}): RevocableToken => ({
  issuer,
  clientId: 'billing',
  tokenId: 't',
  subject: 's',
  keyId: 'k',
  issuedAtMs: at('12:00:00').getTime(),
  ...more,
});

describe('revocations in memory', () => {
  it('are about what they name, and nothing of the same spelling', () => {
    const revocations = new InMemoryRevocations();
    revocations.revoke({ issuer, tokenId: 'x' });
    expect(revocations.isRevoked(token({ tokenId: 'x' }))).toBe(true);
    for (const other of [
      { subject: 'x' },
      { clientId: 'x' },
      { keyId: 'x' },
      { tokenId: 'x', issuer: 'https://other' },
    ]) {
      expect(revocations.isRevoked(token(other))).toBe(false);
    }
  });

  it('of tokens from before a moment take those that do not say when they are from', () => {
    const revocations = new InMemoryRevocations();
    revocations.revoke({ issuer, clientId: 'billing', issuedBefore: at('12:00:00.500') });
    expect(revocations.isRevoked(token())).toBe(true);
    expect(revocations.isRevoked(token({ issuedAtMs: at('12:00:01').getTime() }))).toBe(false);
    expect(revocations.isRevoked(token({ issuedAtMs: undefined }))).toBe(true);
    expect(revocations.isRevoked(token({ clientId: 'other' }))).toBe(false);
  });

  it('are never narrowed by another one', () => {
    const revocations = new InMemoryRevocations();
    revocations.revoke({ issuer, clientId: 'billing' });
    revocations.revoke({ issuer, clientId: 'billing', issuedBefore: at('11:00:00'), until: at('11:00:00') });
    expect(revocations.isRevoked(token())).toBe(true);
  });

  it('that are over do not come back with another one about the same', () => {
    const clock = new ManualClock(at('12:00:00'));
    const revocations = new InMemoryRevocations({ clock });
    revocations.revoke({ issuer, clientId: 'billing', until: at('12:01:00') });
    clock.setWallClock(at('13:00:00'));
    revocations.revoke({ issuer, clientId: 'billing', issuedBefore: at('13:00:00') });
    expect(revocations.isRevoked(token())).toBe(true);
    expect(revocations.isRevoked(token({ issuedAtMs: at('13:00:00').getTime() }))).toBe(false);
  });

  it('that end, one of all tokens and one of old ones, do not make an endless one of all', () => {
    const clock = new ManualClock(at('12:00:00'));
    const revocations = new InMemoryRevocations({ clock });
    const [old, young] = [token({ issuedAtMs: at('10:00:00').getTime() }), token()];
    const verdicts = () => [revocations.isRevoked(old), revocations.isRevoked(young)];
    revocations.revoke({ issuer, clientId: 'billing', issuedBefore: at('11:00:00') });
    revocations.revoke({ issuer, clientId: 'billing', until: at('12:01:00') });
    expect(verdicts()).toEqual([true, true]);
    clock.setWallClock(at('12:01:00'));
    expect(verdicts()).toEqual([true, false]);
  });

  it('take a place each, as long as none includes another', () => {
    const revocations = new InMemoryRevocations({ maxEntries: 2, clock: new ManualClock(at('12:00:00')) });
    revocations.revoke({ issuer, clientId: 'billing', issuedBefore: at('11:00:00') });
    revocations.revoke({ issuer, clientId: 'billing', until: at('12:01:00') });
    expect(() => revocations.revoke({ issuer, tokenId: 'a' })).toThrow(RevocationsFullError);
    revocations.revoke({ issuer, clientId: 'billing' });
    revocations.revoke({ issuer, tokenId: 'a' });
    expect(revocations.isRevoked(token({ clientId: 'other', tokenId: 'a' }))).toBe(true);
  });

  it('are refused when there is no room, rather than given up for a new one; those that are over make room', () => {
    const clock = new ManualClock(at('12:00:00'));
    const revocations = new InMemoryRevocations({ maxEntries: 2, clock });
    revocations.revoke({ issuer, tokenId: 'a', until: at('13:00:00') });
    revocations.revoke({ issuer, tokenId: 'b', until: at('14:00:00') });
    expect(() => revocations.revoke({ issuer, tokenId: 'c' })).toThrow(RevocationsFullError);
    revocations.revoke({ issuer, tokenId: 'a', until: at('13:00:00') });
    clock.setWallClock(at('13:00:00'));
    expect(revocations.isRevoked(token({ tokenId: 'a' }))).toBe(false);
    revocations.revoke({ issuer, tokenId: 'c' });
    expect([revocations.isRevoked(token({ tokenId: 'b' })), revocations.isRevoked(token({ tokenId: 'c' }))]).toEqual([
      true,
      true,
    ]);
  });

  test.each<readonly [string, object]>([
    ['nothing', { issuer }],
    ['nobody’s token', { tokenId: 'a' }],
    ['an empty name', { issuer, tokenId: '' }],
    ['a name that is not there', { issuer, clientId: undefined }],
    ['two things at once', { issuer, clientId: 'a', keyId: 'k' }],
    ['a time that is none', { issuer, issuedBefore: new Date('x') }],
    ['an end that is none', { issuer, tokenId: 'a', until: new Date('x') }],
    ['a time that is not there', { issuer, issuedBefore: undefined }],
  ])('are not made of %s', (_name, revocation) => {
    const revocations = new InMemoryRevocations();
    expect(() => revocations.revoke(revocation as Revocation)).toThrow(TypeError);
    expect(revocations.isRevoked(token())).toBe(false);
  });
});
