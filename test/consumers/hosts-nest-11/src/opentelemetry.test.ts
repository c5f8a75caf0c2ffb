import './opentelemetry-tracing';
import { testKeepsItsRules } from './instrumented';

testKeepsItsRules('@opentelemetry/instrumentation-nestjs-core 0.70');
