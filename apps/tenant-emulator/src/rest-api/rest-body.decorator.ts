import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { bodyTextOf, type TenantRequest } from '../requests/tenant-request.js';
import { ApiFailure } from './api-failure.js';
import { RestFields } from './rest-fields.js';

/** The fields of the body of a REST call, whatever its Content-Type is. No body is one without fields. */
export const RestBody = createParamDecorator((_: unknown, context: ExecutionContext) =>
  RestFields.of(restJsonOf(context)),
);

/** The fields of each member of a list, which is the body itself or its field `Users`. */
export const RestBodyList = createParamDecorator((_: unknown, context: ExecutionContext) => {
  const body = restJsonOf(context);
  const list = Array.isArray(body) ? body : RestFields.of(body).value('Users');
  if (list === undefined) throw ApiFailure.missingParameter('Users');
  if (!Array.isArray(list)) throw ApiFailure.malformedJson('The JSON value could not be read as a list.');
  return list.map((member) => RestFields.of(member));
});

function restJsonOf(context: ExecutionContext): unknown {
  const text = bodyTextOf(context.switchToHttp().getRequest<TenantRequest>());
  if (text.trim() === '') return {};
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own words quote the body, which may hold a password.
    throw ApiFailure.malformedJson('Unexpected character encountered while parsing the JSON text.');
  }
}
