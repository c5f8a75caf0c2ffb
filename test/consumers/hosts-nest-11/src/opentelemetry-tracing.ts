import { NestInstrumentation } from '@opentelemetry/instrumentation-nestjs-core-0.70';

// Instrumentations are enabled by their constructor, before what they instrument is loaded.
export const instrumentation = new NestInstrumentation();
