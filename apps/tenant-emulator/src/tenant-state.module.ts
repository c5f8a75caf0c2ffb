import { type DynamicModule, Module } from '@nestjs/common';
import { Applications } from './applications/applications.js';
import { Permissions } from './applications/permissions.js';
import { Clock } from './clock.js';
import { TENANT_CONFIGURATION } from './config/tenant-configuration.token.js';
import { UserDirectory } from './directory/user-directory.js';
import { SwitchBoard } from './faults/switch-board.js';
import { ClientKeys } from './oauth2/client-keys.js';
import { Statistics } from './requests/statistics.js';
import { TenantAddress } from './tenant-address.js';
import type { TenantState } from './tenant-state.js';
import { IssuedTokens } from './tokens/issued-tokens.js';
import { SigningKeys } from './tokens/signing-keys.js';

/** Makes what a tenant knows injectable everywhere. */
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
