import { register } from 'node:module';
import { NestInstrumentation } from '@opentelemetry/instrumentation-nestjs-core';

register('@opentelemetry/instrumentation/hook.mjs', import.meta.url);
// It is enabled by its constructor, before what it instruments is loaded.
export const instrumentation = new NestInstrumentation();
