import { isNodeSince, skip } from './skipping.js';

/** Undefined where this version of Node.js is too old for it. */
export const instrumentation = isNodeSince(22, 15)
  ? new (
      require('@opentelemetry/instrumentation-nestjs-core') as typeof import('@opentelemetry/instrumentation-nestjs-core')
    ).NestInstrumentation()
  : skip('@opentelemetry/instrumentation-nestjs-core 0.71 needs Node.js 22.15');
