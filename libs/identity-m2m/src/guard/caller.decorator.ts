import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { callerOf } from './caller-store.js';

/** The machine that was let in, as a parameter of type `MachineCaller`; undefined where the handler is public. */
export const Caller = createParamDecorator((_data: unknown, context: ExecutionContext) => callerOf(context));
