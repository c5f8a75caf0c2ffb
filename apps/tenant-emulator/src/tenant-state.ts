import { type DynamicModule, Module } from '@nestjs/common';
import { Clock } from './clock.js';
import { applicationOf, Applications } from './config/application.js';
import { TENANT_CONFIGURATION, type TenantConfiguration } from './config/tenant-configuration.js';
import { Permissions, seedServiceUsers } from './directory/service-users.js';
import { UserDirectory } from './directory/user-directory.js';
import { SwitchBoard } from './faults/switch-board.js';
import { type RequestEvent, RequestRecorder } from './http/request-recorder.js';
import { Statistics } from './http/statistics.js';
import { ClientKeys } from './oauth2/client-assertions.js';
import { TenantAddress } from './oauth2/metadata.js';
import { IssuedTokens } from './tokens/issued-tokens.js';
import { SigningKeys } from './tokens/signing-keys.js';

/** The state of a tenant, shared by the tenant's server and the admin server. */
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

/** Makes the state of a tenant injectable in every module. */
@Module({})
export class TenantStateModule {
  static holding(state: TenantState): DynamicModule {
    const providers = [
      { provide: TENANT_CONFIGURATION, useValue: state.configuration },
      { provide: Clock, useValue: state.clock },
      { provide: TenantAddress, useValue: state.address },
      { provide: Applications, useValue: state.applications },
      { provide: Permissions, useValue: state.permissions },
      { provide: UserDirectory, useValue: state.users },
      { provide: ClientKeys, useValue: state.clientKeys },
      { provide: SigningKeys, useValue: state.keys },
      { provide: IssuedTokens, useValue: state.tokens },
      { provide: SwitchBoard, useValue: state.switches },
      { provide: Statistics, useValue: state.statistics },
    ];
    return { module: TenantStateModule, global: true, providers, exports: providers };
  }
}
