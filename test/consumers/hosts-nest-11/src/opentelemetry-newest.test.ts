import { instrumentation } from './opentelemetry-newest-tracing.js';
import { testKeepsItsRules } from './instrumented.js';

if (instrumentation) testKeepsItsRules('@opentelemetry/instrumentation-nestjs-core 0.71');
