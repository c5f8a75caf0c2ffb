import type { IncomingMessage } from 'node:http';
import { type CanActivate, type ExecutionContext, Injectable, UnsupportedMediaTypeException } from '@nestjs/common';

/** Lets in bodies of JSON alone: those of a form would be read as well, and could say no flag but as text. */
@Injectable()
export class JsonBodyGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { headers } = context.switchToHttp().getRequest<IncomingMessage>();
    const [type = ''] = (headers['content-type'] ?? '').split(';');
    if (type.trim().toLowerCase() === 'application/json') return true;
    const message = 'A user is sent as JSON, with Content-Type: application/json.';
    throw new UnsupportedMediaTypeException({ statusCode: 415, error: 'not_json', message });
  }
}
