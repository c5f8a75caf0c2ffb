import './sentry-tracing';
import { testKeepsItsRules } from './instrumented';

testKeepsItsRules('@sentry/nestjs');
