import * as cachedToken from './cached-token.mjs';
import * as expiry from './expiry.mjs';
import { fleetModel, logins, outageModel } from './failure-models.mjs';
import { guardedRoute } from './guarded-route.mjs';
import * as herd from './herd.mjs';
import * as importing from './import.mjs';
import * as memory from './memory.mjs';
import * as outage from './outage.mjs';
import * as revocation from './revocation.mjs';
import * as throughput from './throughput.mjs';
import { verification } from './verification.mjs';

/** By the name that `npm run bench -- <name>` takes. */
export const scenarios = {
  'cached-token': cachedToken,
  get: throughput.get,
  post: throughput.post,
  herd,
  expiry,
  outage,
  'fleet-model': fleetModel,
  'outage-model': outageModel,
  logins,
  revocation,
  ...verification,
  'verify-memory': memory,
  ...guardedRoute,
  import: importing,
};
