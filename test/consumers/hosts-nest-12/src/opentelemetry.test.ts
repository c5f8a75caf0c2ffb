import './opentelemetry-tracing.js';
import { testKeepsItsRules } from './instrumented.js';

// It wraps no handlers of Nest 12.
testKeepsItsRules('@opentelemetry/instrumentation-nestjs-core', { isWrapping: false });
