export {
  attackSuite,
  type AttackOutcome,
  type AttackReport,
  type AttackSuiteOptions,
  type AttackTarget,
} from './testing/attack-suite.js';
export { FixedTokenProvider } from './testing/fixed-token-provider.js';
export type { ForgedToken } from './testing/forged-token.js';
export { forgedTokens } from './testing/forged-tokens.js';
export { ManualClock } from './testing/manual-clock.js';
export { TestIssuer, type TestTokenOptions } from './testing/test-issuer.js';
