import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { HttpService } from '@nestjs/axios';
import { Controller, Get, type INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { type RunningTenant, startTenant } from '@nestjs-identity-m2m/tenant-emulator';
import type { AxiosResponse } from 'axios';
import {
  Caller,
  createAccessTokenVerifier,
  cyberArkIdentity,
  type ClientOptions,
  IdentityM2MModule,
  type IdentityM2MOptions,
  type MachineCaller,
  RequireScopes,
  Sensitive,
  TokenProvider,
} from 'nestjs-identity-m2m';
import { firstValueFrom, type Observable } from 'rxjs';
import { callerToken } from '../apps/user-provisioning/src/testing/sample-tenant.js';

// The lines that docs/cyberark-sdk.md has for the calls of CyberArk's SDKs, at work: keep the two in step.

const secret = 'dev-only: provisioning p+ss/wörd%21';
const credential = { clientId: 'svc-cli@acme.example', clientSecret: 'dev-only-cli' };
const closing: (() => unknown)[] = [];
let tenant: RunningTenant;
let tenantUrl: string;

beforeAll(async () => {
  tenant = await startTenant();
  tenantUrl = tenant.url;
});
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});
afterAll(() => tenant.close());

async function module(options: IdentityM2MOptions, controllers: (new () => object)[] = []) {
  const module = await Test.createTestingModule({
    imports: [IdentityM2MModule.forRoot({ ...options, globalGuard: options.guard !== undefined })],
    controllers,
  }).compile();
  module.useLogger(false);
  closing.push(() => module.close());
  return module;
}

async function client(more: Partial<ClientOptions> = {}) {
  const made = await module({
    client: {
      identityProvider: cyberArkIdentity({ tenantUrl, applicationId: 'provisioning' }),
      clientId: 'svc-provisioning@acme.example',
      clientSecret: secret,
      scope: 'users',
      ...more,
    },
  });
  await made.init();
  return { http: made.get(HttpService), tokens: made.get(TokenProvider), close: () => made.close() };
}

const guard = () => ({
  guard: {
    issuers: [cyberArkIdentity({ tenantUrl, applicationId: 'internal-api' })],
    audience: 'user-provisioning',
    clients: ['svc-cli@acme.example'],
    introspection: [credential],
  },
});

@Controller('me')
class MeController {
  @Get()
  @Sensitive()
  @RequireScopes('users.read')
  claims(@Caller() caller: MachineCaller): object {
    return caller.claims;
  }
}

interface Envelope {
  readonly success: boolean;
  readonly Result: unknown;
}
const answer = async (call: Observable<unknown>) => (await firstValueFrom(call)) as AxiosResponse<Envelope>;

describe('the counterpart of CyberArk’s SDKs', () => {
  it('a token, and one of another scope', async () => {
    const { tokens } = await client();
    const token = await tokens.getToken();
    expect([token.tokenType, token.scope]).toEqual(['Bearer', 'users']);
    const narrow = await tokens.getToken({ scope: 'read-only' });
    expect(narrow.scope).toBe('read-only');
    const { expiresAt, refreshAt } = tokens.status();
    expect(refreshAt!.getTime()).toBeLessThan(expiresAt!.getTime());
  });

  it('a platform token', async () => {
    const identityProvider = cyberArkIdentity({ tenantUrl, platformToken: true });
    const { http } = await client({ identityProvider, scope: undefined });
    expect((await answer(http.post('/Security/whoami', {}))).data.success).toBe(true);
  });

  it('who one is; users made, found and changed', async () => {
    const { http } = await client();
    const who = await answer(http.post('/Security/whoami', {}));
    expect(who.data.Result).toMatchObject({ User: 'svc-provisioning@acme.example' });
    const user = { Name: 'sdk.user', Mail: 'sdk.user@example.org', SendEmailInvite: false };
    const made = await answer(http.post('/CDirectoryService/CreateUser', user));
    expect(made.data).toMatchObject({ success: true, Result: expect.stringMatching(/^[0-9a-f-]{36}$/) });
    const found = await answer(http.post('/CDirectoryService/GetUserByName', { username: 'sdk.user' }));
    const { Uuid: id } = found.data.Result as { Uuid: string };
    expect(id).toBe(made.data.Result);
    const changed = await answer(http.post('/CDirectoryService/ChangeUser', { ID: id, DisplayName: 'Sdk User' }));
    expect(changed.data.success).toBe(true);
    // HTTP says 200 for a refusal of the tenant's, too.
    const refused = await answer(http.post('/CDirectoryService/CreateUser', user));
    expect([refused.status, refused.data.success]).toEqual([200, false]);
  });

  it('introspection and claims, by the guard', async () => {
    const made = await module(guard(), [MeController]);
    const app: INestApplication = made.createNestApplication({ logger: false });
    closing.push(() => app.close());
    await app.listen(0, '127.0.0.1');
    const ask = async (token: string) =>
      fetch(`${await app.getUrl()}/me`, { headers: { authorization: `Bearer ${token}` } });
    const token = await callerToken(tenant);
    expect(await (await ask(token)).json()).toMatchObject({
      unique_name: 'svc-cli@acme.example',
      app_id: 'internal-api',
    });
    expect(tenant.statistics().introspections).toBe(1);
  });

  it('introspection and claims, without Nest', async () => {
    const verifier = createAccessTokenVerifier(guard().guard);
    closing.push(() => verifier.close());
    const token = await callerToken(tenant);
    const verdict = await verifier.verify(token, { scopes: [], clients: undefined, sensitive: true });
    expect(verdict.ok && [verdict.caller.isIntrospected, verdict.caller.claims['scope']]).toEqual([
      true,
      'users.read users.write',
    ]);
    const revoked = await callerToken(tenant);
    tenant.revokeSessions();
    const refusal = await verifier.verify(revoked, { scopes: [], clients: undefined, sensitive: true });
    expect(refusal).toMatchObject({ ok: false, reason: 'token_inactive' });
  });

  it('revocation, at the end and at any time', async () => {
    const { tokens, close } = await client({ revokeOnShutdown: true });
    await tokens.getToken();
    const alive = async () => {
      const { sessions } = (await (await fetch(`${tenant.adminUrl}/sessions`)).json()) as {
        sessions: { token: string }[];
      };
      return sessions.map((session) => session.token);
    };
    const { fingerprint } = await tokens.getToken();
    expect(await alive()).toContain(fingerprint);
    await close();
    expect(await alive()).not.toContain(fingerprint);

    const { http, tokens: others } = await client();
    const token = await others.getToken();
    const auth = { username: 'svc-provisioning@acme.example', password: secret };
    const form = new URLSearchParams({ token: token.reveal() });
    await firstValueFrom(http.post('/OAuth2/Revoke/provisioning', form, { auth }));
    expect(await alive()).not.toContain(token.fingerprint);
    // The next call finds that out, and goes out once more with a new token.
    expect((await answer(http.post('/Security/whoami', {}))).data.success).toBe(true);
  });
});
