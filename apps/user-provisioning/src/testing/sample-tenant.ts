import type { RunningTenant } from '@nestjs-identity-m2m/tenant-emulator';

const SECRETS = { cli: 'dev-only-cli', reporting: 'dev-only-reporting', intruder: 'dev-only-intruder' };

/** A token for the service, as one of its callers gets it. */
export async function callerToken(tenant: RunningTenant, client: keyof typeof SECRETS = 'cli'): Promise<string> {
  const credentials = Buffer.from(`svc-${client}@acme.example:${SECRETS[client]}`).toString('base64');
  const response = await fetch(`${tenant.url}/oauth2/token/internal-api`, {
    method: 'POST',
    headers: { authorization: `Basic ${credentials}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  return ((await response.json()) as { access_token: string }).access_token;
}

/** Settings of a service that works with this tenant. */
export function serviceEnvironment(tenant: RunningTenant): Record<string, string> {
  return {
    TENANT_URL: tenant.url,
    TENANT_CLIENT_ID: 'svc-provisioning@acme.example',
    TENANT_CLIENT_SECRET: 'dev-only: provisioning p+ss/wörd%21',
    ALLOWED_CLIENTS: 'svc-cli@acme.example,svc-billing@acme.example',
  };
}

/** How many users of each name the tenant has: the names of the sample have no suffix. */
export function usersByName(tenant: RunningTenant): Map<string, string[]> {
  const users = new Map<string, string[]>();
  for (const { name, uuid } of tenant.users.all()) {
    const short = name.replace(/@acme\.example$/, '');
    users.set(short, [...(users.get(short) ?? []), uuid]);
  }
  return users;
}
