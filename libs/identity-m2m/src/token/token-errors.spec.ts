import { describe, expect, it, test } from '@jest/globals';
import { HttpExchangeError } from '../foundation/bounded-fetch.js';
import { IdentityM2MError } from '../foundation/identity-m2m-error.js';
import {
  ClientRejectedError,
  type FailureContext,
  tokenFailureError,
  TokenNotBearerError,
  TokenParametersError,
  TokenRequestRejectedError,
  TokenUnavailableError,
  unexpectedFailure,
} from './token-errors.js';
import { TOKEN_FAILURE_KINDS, type TokenFailure, type TokenFailureKind } from './token-result.js';

const CONTEXT: FailureContext = { client: 'users', server: 'https://id.example.com/token' };
const START = 'No access token for client "users" from https://id.example.com/token: ';

const failed = (
  failure: Partial<TokenFailure> = {},
  { context = {}, retryAt, halted }: { context?: Partial<FailureContext>; retryAt?: Date; halted?: boolean } = {},
) => {
  const whole: TokenFailure = { kind: 'transient', detail: 'no response', ...failure };
  return tokenFailureError(whole, { ...CONTEXT, ...context }, retryAt, halted);
};

describe('the error of a failed token request', () => {
  const kinds: readonly {
    kind: TokenFailureKind;
    type: new (...args: never[]) => TokenUnavailableError;
    reason: string;
    code: string;
    advice: string;
  }[] = [
    {
      kind: 'transient',
      type: TokenUnavailableError,
      reason: 'outage',
      code: 'M2M_TOKEN_UNAVAILABLE',
      advice: 'The client retries automatically.',
    },
    {
      kind: 'unexplained',
      type: TokenUnavailableError,
      reason: 'outage',
      code: 'M2M_TOKEN_UNAVAILABLE',
      advice:
        'The client retries automatically. If this persists, check the address: usually a gateway responds like this, or a wrong path.',
    },
    {
      kind: 'malformed',
      type: TokenUnavailableError,
      reason: 'malformed_answer',
      code: 'M2M_TOKEN_UNAVAILABLE',
      advice:
        'Check that the address is a token endpoint. If its responses do not follow RFC 6749, read them with the option readTokenResponse.',
    },
    {
      kind: 'blocked',
      type: TokenUnavailableError,
      reason: 'blocked',
      code: 'M2M_TOKEN_UNAVAILABLE',
      advice:
        'Check the client secret first: some servers respond like this to a wrong one. Otherwise a gateway or firewall blocks this machine: check its rules and allow-lists.',
    },
    {
      kind: 'proxy',
      type: TokenUnavailableError,
      reason: 'blocked',
      code: 'M2M_TOKEN_UNAVAILABLE',
      advice: 'Check the user name and password that the agent sends to the proxy.',
    },
    {
      kind: 'certificate',
      type: TokenUnavailableError,
      reason: 'certificate_rejected',
      code: 'M2M_TOKEN_UNAVAILABLE',
      advice: 'Check which certificate authorities this machine and the server trust.',
    },
    {
      kind: 'configuration',
      type: TokenRequestRejectedError,
      reason: 'request_rejected',
      code: 'M2M_TOKEN_REQUEST_REJECTED',
      advice: 'Check the address, the scope and the other parameters of the token request.',
    },
    {
      kind: 'credential',
      type: ClientRejectedError,
      reason: 'client_rejected',
      code: 'M2M_CLIENT_REJECTED',
      advice: 'Check the client id and the client secret, and that the client may use this grant.',
    },
  ];

  it('is known for each kind of failure', () => {
    expect(kinds.map(({ kind }) => kind).toSorted()).toEqual(TOKEN_FAILURE_KINDS.toSorted());
  });

  test.each(kinds)('of the kind $kind has the reason $reason, and the remedy', (expected) => {
    const error = failed({ kind: expected.kind });
    expect(error.constructor).toBe(expected.type);
    expect(error).toBeInstanceOf(IdentityM2MError);
    expect([error.name, error.reason, error.code]).toEqual([expected.type.name, expected.reason, expected.code]);
    expect(error.message).toBe(`${START}no response. ${expected.advice}`);
    expect(error.client).toBe('users');
  });

  test.each([undefined, false, true])('of a rejected client shows whether attempts are halted: %s', (halted) => {
    const error = failed({ kind: 'credential' }, halted === undefined ? {} : { halted });
    expect(error).toMatchObject({ halted: halted ?? false });
    expect(error.message).toBe(
      halted
        ? `${START}no response. Attempts are halted, so that the client does not get locked out. Correct the client id or the credential. If you corrected a setting at the identity provider, call retryNow() or restart.`
        : `${START}no response. Check the client id and the client secret, and that the client may use this grant.`,
    );
  });

  test.each([
    ['it failed', 'it failed.'],
    ['it failed.', 'it failed.'],
    ['it failed!', 'it failed!'],
    ['did it fail?', 'did it fail?'],
    ['it failed. or not', 'it failed. or not.'],
    ['one\nline\u0007', 'one?line?'],
    [`${'x'.repeat(200)}y`, `${'x'.repeat(200)}….`],
  ])('ends its sentence and stays on one line: %j', (detail, found) => {
    expect(failed({ detail }).message).toBe(`${START}${found} The client retries automatically.`);
  });

  it('has the remark of the failure before the advice', () => {
    const error = failed({ remark: 'The client secret ends with whitespace.' });
    expect(error.message).toBe(
      `${START}no response. The client secret ends with whitespace. The client retries automatically.`,
    );
  });

  test.each([
    { name: 'the preset', advice: 'own', hint: () => 'preset', message: 'preset' },
    { name: 'the failure, if the preset has none', advice: 'own', hint: () => undefined, message: 'own' },
    { name: 'the failure, if there is no preset', advice: 'own', hint: undefined, message: 'own' },
    {
      name: 'the failure, if the preset throws',
      advice: 'own',
      hint: () => {
        throw new Error('of the preset');
      },
      message: 'own',
    },
    {
      name: 'the kind, if neither has one',
      advice: undefined,
      hint: () => undefined,
      message: 'The client retries automatically.',
    },
  ])('has the advice of $name', ({ advice, hint, message }) => {
    expect(failed({ advice }, { context: { hint } }).message).toBe(`${START}no response. ${message}`);
  });

  it('has the advice of the preset for the message as the server sent it', () => {
    const details: string[] = [];
    const hint = (detail: string) => String(details.push(detail));
    failed({ detail: 'code ä' }, { context: { hint } });
    expect(details).toEqual(['code ä']);
  });

  it('has the code of the server on one line of at most 60 characters', () => {
    expect(failed({ oauthError: 'invalid_client' }).oauthError).toBe('invalid_client');
    expect(failed({ oauthError: '' }).oauthError).toBe('');
    expect(failed({ oauthError: `${'x'.repeat(59)}\ny` }).oauthError).toBe(`${'x'.repeat(59)}?…`);
    expect(failed({ oauthError: 'x'.repeat(60) }).oauthError).toBe('x'.repeat(60));
  });

  test.each(['transient', 'configuration', 'credential', 'blocked', 'malformed', 'certificate'] as const)(
    'of the kind %s has the cause, and the time of the next attempt',
    (kind) => {
      const retryAt = new Date('2030-01-01');
      const cause = new Error('below');
      const error = failed({ kind, cause, oauthError: 'code' }, { retryAt });
      expect(error).toMatchObject({ retryAt, oauthError: 'code' });
      expect(error.cause).toBe(cause);
    },
  );

  it('has no empty members', () => {
    expect(Object.keys(failed())).toEqual(expect.not.arrayContaining(['retryAt', 'oauthError', 'cause']));
    expect('cause' in failed()).toBe(false);
  });
});

describe('an exception during a token request', () => {
  it('is shown where it is an error of this library', () => {
    const cause = new HttpExchangeError('timeout', 'no token within 5 ms');
    expect(unexpectedFailure(cause)).toEqual({ kind: 'transient', detail: 'no token within 5 ms', cause });
  });

  test.each([new Error('with a secret'), 'with a secret', undefined])('is only the cause otherwise: %p', (cause) => {
    const detail = 'the token request failed (see the cause)';
    expect(unexpectedFailure(cause)).toEqual({ kind: 'transient', detail, cause });
  });
});

describe('an error of a call', () => {
  it('explains that a token is bound to a key', () => {
    const error = new TokenNotBearerError('users');
    expect([error.code, error.client, error.name]).toEqual(['M2M_TOKEN_NOT_BEARER', 'users', 'TokenNotBearerError']);
    expect(error.message).toBe(
      'The access token of client "users" is bound to a key by DPoP, and only HTTP calls can prove that key. Use a client without the option dpop.',
    );
  });

  it('explains that parameters are invalid', () => {
    expect(new TokenParametersError('text')).toMatchObject({ code: 'M2M_TOKEN_PARAMETERS_INVALID', message: 'text' });
  });
});
