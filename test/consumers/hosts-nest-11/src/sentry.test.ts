import './sentry-tracing';
import { SentryModule } from '@sentry/nestjs/setup';
import { testKeepsItsRules } from './instrumented';

testKeepsItsRules('@sentry/nestjs', [SentryModule.forRoot()]);
