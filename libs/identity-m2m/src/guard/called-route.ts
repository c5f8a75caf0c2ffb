import type { ExecutionContext } from '@nestjs/common';
import { printableText } from '../foundation/printable-text.js';

/** What Express and Fastify tell of the route that a request matched. */
interface RoutedRequest {
  readonly method?: string;
  readonly baseUrl?: string;
  readonly route?: { readonly path?: unknown };
  readonly routeOptions?: { readonly url?: unknown };
}

/**
 * Names the route of a call for events and logs: `GET /users/:id` for a request, `UsersController.create` for a message.
 *
 * The pattern and not the path of the request: a path may hold personal data, and its query even a token.
 */
export function calledRoute(context: ExecutionContext): string {
  const type: string = context.getType();
  const request = type === 'http' ? context.getArgByIndex<RoutedRequest | undefined>(0) : undefined;
  const path = request?.routeOptions?.url ?? request?.route?.path;
  const route =
    typeof request?.method === 'string' && typeof path === 'string'
      ? `${request.method} ${request.baseUrl ?? ''}${path}`
      : handlerName(context);
  return printableText(route);
}

/** Names the class and the function of a handler, as far as a made-up context has them. */
export function handlerName(context: Pick<ExecutionContext, 'getClass' | 'getHandler'>): string {
  const [ofClass, handler] = [context.getClass(), context.getHandler()] as readonly ({
    readonly name: string;
  } | null)[];
  return `${ofClass?.name}.${handler?.name}`;
}
