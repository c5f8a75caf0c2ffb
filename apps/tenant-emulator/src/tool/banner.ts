import type { TenantConfiguration } from '../config/tenant-configuration.js';
import type { RunningTenant } from '../start-tenant.js';

/** Returns the start message: addresses, applications, service users and commands to try. */
export function banner({ url, adminUrl, configuration }: RunningTenant, configFile: string): string {
  return [
    `The tenant "${configuration.tenantId}" listens on ${url}`,
    `  admin API:      ${adminUrl}`,
    `  configuration:  ${configFile}, with the secrets of the service users`,
    '',
    'Applications',
    ...table(configuration.applications.map(({ id, type, description }) => [id, type, description ?? ''])),
    '',
    'Service users',
    ...table(
      configuration.serviceUsers.map(({ loginName, applications }) => [
        loginName,
        Object.keys(applications).join(', '),
      ]),
    ),
    '',
    ...examples(configuration, url, adminUrl),
    'Press Ctrl-C to stop.',
    '',
  ].join('\n');
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd());
}

function examples(configuration: TenantConfiguration, url: string, adminUrl: string): string[] {
  const example = exampleClient(configuration);
  return [
    'Try it',
    ...(example ? tokenExamples(example, url) : []),
    `  # make the token endpoint fail for 10 seconds`,
    `  curl -s -X POST ${adminUrl}/faults/outage -d '{"part": "token", "outage": "500", "forMs": 10000}' -w '\\n'`,
    '',
  ];
}

interface ExampleClient {
  readonly loginName: string;
  readonly secret: string;
  readonly applicationId: string;
}

/** Finds a client of the tenant's own API with a secret that needs no quoting in a command line. */
function exampleClient({ applications, serviceUsers }: TenantConfiguration): ExampleClient | undefined {
  const ownApi = new Set(applications.filter(({ type }) => type === 'OAuth2 Client').map(({ id }) => id));
  for (const { loginName, secret, applications } of serviceUsers) {
    const applicationId = Object.keys(applications).find((id) => ownApi.has(id));
    // Shows only a secret that is marked as for development.
    if (applicationId !== undefined && secret !== undefined && /^dev-only[\w-]*$/.test(secret)) {
      return { loginName, secret, applicationId };
    }
  }
  return undefined;
}

function tokenExamples({ loginName, secret, applicationId }: ExampleClient, url: string): string[] {
  const tokenRequest = `curl -s -u ${loginName}:${secret} -d grant_type=client_credentials ${url}/OAuth2/Token/${applicationId}`;
  return [
    '  # get a token',
    `  ${tokenRequest} -w '\\n'`,
    '  # get one and call the REST API with it',
    `  TOKEN=$(${tokenRequest} | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')`,
    `  curl -s -X POST -H "Authorization: Bearer $TOKEN" ${url}/Security/whoami -w '\\n'`,
  ];
}
