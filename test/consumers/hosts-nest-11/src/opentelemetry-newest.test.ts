import { instrumentation } from './opentelemetry-newest-tracing';
import { testKeepsItsRules } from './instrumented';

if (instrumentation) testKeepsItsRules('@opentelemetry/instrumentation-nestjs-core 0.71');
