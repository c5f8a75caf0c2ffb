// What is mutated, and the tests that have to notice. Paths of sources begin at the library's `src`.

const unit = (name) => `libs/identity-m2m/src/${name}.spec.ts`;
const cross = (name) => `test/${name}.spec.ts`;

/**
 * Files that decide: every mutant is run. `tests` come first; `slowTests` see only the mutants that survive them.
 *
 * @type {Record<string, { files: string[], tests: string[], slowTests?: string[] }>}
 */
export const DECIDING = {
  'refresh-policy': {
    files: ['token/refresh-policy.ts'],
    tests: [unit('token/refresh-policy')],
    slowTests: [unit('token/refreshed-token')],
  },
  'retry-policy': {
    files: ['token/retry-policy.ts'],
    tests: [unit('token/retry-policy')],
    slowTests: [unit('token/refreshed-token'), cross('failure-policy')],
  },
  'allowed-origins': {
    files: ['token/allowed-origins.ts'],
    tests: [unit('token/allowed-origins'), unit('config/module-options')],
    slowTests: [cross('cross-origin')],
  },
  'token-response': {
    files: ['token/token-response.ts', 'token/oauth-error.ts', 'token/access-token-lifetime.ts'],
    tests: [unit('token/token-response')],
    slowTests: [cross('hostile-token-endpoint'), cross('token-endpoints')],
  },
  quarantine: {
    files: ['credentials/credential-quarantine.ts'],
    tests: [unit('credentials/credential-quarantine')],
    slowTests: [cross('failure-policy'), cross('client-authentication'), cross('several-clients')],
  },
  'claims-policy': {
    files: ['verification/claims-policy.ts'],
    tests: [unit('verification/claims-policy')],
    slowTests: [cross('attacks-core'), cross('issued-tokens'), cross('introspection'), cross('refusals')],
  },
  'route-policy': {
    files: ['verification/route-policy.ts'],
    tests: [unit('verification/route-policy')],
    slowTests: [cross('guard-policy'), cross('refusals'), cross('guard')],
  },
  'key-set': {
    files: ['verification/key-set.ts', 'verification/refreshed-key-set.ts', 'verification/key-source.ts'],
    tests: [unit('verification/key-set'), unit('verification/refreshed-key-set'), unit('verification/key-source')],
    slowTests: [cross('attacks-key-sets'), cross('issuers')],
  },
};

/**
 * The other files of these folders, of whose mutants a sample is run.
 *
 * @type {Record<string, { folder: string, tests: string[] }>}
 */
export const SAMPLED = {
  token: {
    folder: 'token',
    tests: [unit('token/*'), cross('failure-policy'), cross('outbound'), cross('token-endpoints')],
  },
  credentials: {
    folder: 'credentials',
    tests: [unit('credentials/*'), ...['client-authentication', 'secrets', 'failure-policy'].map(cross)],
  },
  carriers: {
    folder: 'carriers',
    tests: [
      unit('carriers/**/*'),
      ...['http-carriers', 'rejected-tokens', 'cross-origin', 'outbound'].map(cross),
      ...['microservice-carriers', 'microservice-clients', 'no-secret-written'].map(cross),
    ],
  },
  guard: {
    folder: 'guard',
    tests: [unit('guard/**/*'), ...['guard', 'guard-*'].map(cross)],
  },
  verification: {
    folder: 'verification',
    tests: [
      unit('verification/*'),
      ...['attacks-core', 'attacks-key-sets', 'introspection', 'issued-tokens', 'issuers', 'issuer-resolver'].map(
        cross,
      ),
    ],
  },
};

/** Mutants of the sampled parts together. */
export const SAMPLE_SIZE = 500;

/** Lowest share of mutants that tests have to notice. */
export const TARGETS = { deciding: 0.95, sampled: 0.85 };

/** Highest share of mutants that may be left out as equivalent. */
export const MAX_EQUIVALENT = 0.03;
