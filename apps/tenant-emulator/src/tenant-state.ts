import { applicationOf } from './applications/application.js';
import { Applications } from './applications/applications.js';
import { Permissions } from './applications/permissions.js';
import type { Clock } from './clock.js';
import type { TenantConfiguration } from './config/tenant-configuration.js';
import { seedServiceUsers } from './directory/seed-service-users.js';
import { UserDirectory } from './directory/user-directory.js';
import { SwitchBoard } from './faults/switch-board.js';
import { ClientKeys } from './oauth2/client-keys.js';
import type { RequestEvent } from './requests/request-event.js';
import { RequestRecorder } from './requests/request-recorder.js';
import { Statistics } from './requests/statistics.js';
import { TenantAddress } from './tenant-address.js';
import { IssuedTokens } from './tokens/issued-tokens.js';
import { SigningKeys } from './tokens/signing-keys.js';

/** Everything that a tenant knows. The tenant's server and the admin server both work on it. */
export interface TenantState {
  readonly configuration: TenantConfiguration;
  readonly clock: Clock;
  readonly address: TenantAddress;
  readonly applications: Applications;
  readonly permissions: Permissions;
  readonly users: UserDirectory;
  readonly clientKeys: ClientKeys;
  readonly keys: SigningKeys;
  readonly tokens: IssuedTokens;
  readonly switches: SwitchBoard;
  readonly statistics: Statistics;
  readonly recorder: RequestRecorder;
}

export async function createTenantState(
  configuration: TenantConfiguration,
  clock: Clock,
  log: (event: RequestEvent) => void,
): Promise<TenantState> {
  const { aliasSuffix, limits, applications, serviceUsers } = configuration;
  const users = new UserDirectory(aliasSuffix, limits.users);
  const switches = new SwitchBoard(configuration.switches, clock);
  const statistics = new Statistics();
  const seeded = seedServiceUsers(users, serviceUsers, clock.now());
  return {
    configuration,
    clock,
    address: new TenantAddress(),
    applications: new Applications(applications.map(applicationOf)),
    permissions: new Permissions(seeded),
    users,
    clientKeys: new ClientKeys(seeded.flatMap(([uuid, { jwks }]) => (jwks ? [[uuid, jwks] as const] : []))),
    keys: await SigningKeys.generate(),
    tokens: new IssuedTokens(limits.tokens, clock, switches),
    switches,
    statistics,
    recorder: new RequestRecorder(clock, statistics, log),
  };
}
