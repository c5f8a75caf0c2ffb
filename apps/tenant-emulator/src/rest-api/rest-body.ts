import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { bodyTextOf, type TenantRequest } from '../http/tenant-request.js';
import { ApiFailure } from './api-failure.js';

/** Injects the fields of the body of a REST call. Ignores Content-Type; no body is `{}`. */
export const RestBody = createParamDecorator((_: unknown, context: ExecutionContext) =>
  RestFields.of(restJsonOf(context)),
);

/** Injects the fields of each member of a list, which is the body itself or its field `Users`. */
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
    // The parser's message quotes the body, which may hold a password.
    throw ApiFailure.malformedJson('Unexpected character encountered while parsing the JSON text.');
  }
}

/**
 * The fields of a REST call, read like the tenant's .NET model binding: names in any case, booleans as JSON booleans or
 * as "true" and "false", null and blank strings as absent, unknown fields ignored.
 */
export class RestFields {
  readonly #values: ReadonlyMap<string, unknown>;

  private constructor(values: object) {
    this.#values = new Map(Object.entries(values).map(([name, value]) => [name.toLowerCase(), value]));
  }

  /** @throws {@link ApiFailure} if the value is not a JSON object. */
  static of(value: unknown): RestFields {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return new RestFields(value);
    throw ApiFailure.malformedJson('The JSON value could not be read as an object.');
  }

  text(name: string): string | undefined {
    const value = this.value(name);
    if (typeof value === 'number' || typeof value === 'boolean') return String(value);
    if (value !== undefined && typeof value !== 'string') throw conversionFailure(name, 'string');
    return value?.trim() ? value : undefined;
  }

  requiredText(name: string): string {
    const text = this.text(name);
    if (text === undefined) throw ApiFailure.missingParameter(name);
    return text;
  }

  flag(name: string): boolean | undefined {
    const value = this.value(name);
    if (value === undefined || typeof value === 'boolean') return value;
    const text = typeof value === 'string' ? value.trim().toLowerCase() : undefined;
    if (text === '') return undefined;
    if (text !== 'true' && text !== 'false') throw conversionFailure(name, 'boolean');
    return text === 'true';
  }

  positiveInteger(name: string): number | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    const number = Number(value);
    if (!Number.isSafeInteger(number) || number < 1) throw conversionFailure(name, 'positive integer');
    return number;
  }

  /** Returns the fields of a nested object; none if it is absent. */
  fields(name: string): RestFields {
    return RestFields.of(this.value(name) ?? {});
  }

  value(name: string): unknown {
    return this.#values.get(name.toLowerCase()) ?? undefined;
  }
}

function conversionFailure(name: string, type: string): ApiFailure {
  return ApiFailure.malformedJson(`Could not convert the value to ${type}. Path '${name}'.`);
}
