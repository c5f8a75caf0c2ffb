import './sentry-tracing.js';
import { SentryModule } from '@sentry/nestjs/setup';
import { testKeepsItsRules } from './instrumented.js';

testKeepsItsRules('@sentry/nestjs', { imports: [SentryModule.forRoot()] });
