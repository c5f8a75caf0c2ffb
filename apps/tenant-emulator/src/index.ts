export { type RunningTenant, startTenant, type TenantOptions } from './start-tenant.js';
export {
  readTenantConfiguration,
  SAMPLE_CONFIGURATION_FILE,
  TenantConfigurationError,
  type TenantConfiguration,
  type TenantConfigurationInput,
} from './config/tenant-configuration.js';
export type { UserDirectory } from './directory/user-directory.js';
export type { User } from './directory/user.js';
export type { Outage, PartFault, SwitchesPatch, TenantSwitches, TenantPart, TimedOutage } from './config/switches.js';
export { type SwitchBoard, SwitchesError } from './faults/switch-board.js';
export { PortTakenError } from './listen.js';
export type { RequestEvent } from './http/request-recorder.js';
export type { OutcomeCounts, TenantStatistics } from './http/statistics.js';
