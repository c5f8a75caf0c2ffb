import './opentelemetry-tracing.js';
import { testKeepsItsRules } from './instrumented.js';

testKeepsItsRules('@opentelemetry/instrumentation-nestjs-core 0.70');
