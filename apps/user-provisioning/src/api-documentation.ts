import { applyDecorators, type INestApplication } from '@nestjs/common';
import { ApiResponse, DocumentBuilder, SwaggerModule } from '@nestjs/swagger';

/** Serves the OpenAPI document, and Swagger UI to try the API: get a token, press Authorize, and paste it there. */
export function serveApiDocumentation(app: INestApplication, tokenCommand: string): void {
  const document = new DocumentBuilder()
    .setTitle('User provisioning')
    .setDescription(
      `Creates, shows, changes and deletes users of a CyberArk Identity tenant, for named machines only.\n\nAuthorize with the \`access_token\` that this command prints:\n\n    ${tokenCommand}`,
    )
    .setVersion('0.2.0')
    .addBearerAuth({ type: 'http', scheme: 'bearer', bearerFormat: 'JWT' })
    .build();
  SwaggerModule.setup('docs', app, () => SwaggerModule.createDocument(app, document));
}

type Description = Readonly<Record<number, string>>;

/** Errors of every operation that needs a token and calls the tenant. */
const COMMON_PROBLEMS: Description = {
  401: 'No token, or an invalid one; see WWW-Authenticate',
  403: 'The client may not call this service, or its token lacks the scope',
  502: 'The tenant refuses this service; its operator has to act',
  503: 'The tenant, its tokens or the store of requests is unavailable; see Retry-After',
};

const problem = {
  type: 'object',
  required: ['statusCode', 'message'],
  properties: {
    statusCode: { type: 'integer' },
    error: { type: 'string', description: 'Stable name of the error', example: 'duplicate' },
    message: { oneOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' } }] },
    hint: { type: 'string', description: 'What the operator of this service can do' },
    tenantErrorId: { type: 'string', description: 'Identifies the error for the tenant’s support' },
    tenantTime: { type: 'string', format: 'date-time', description: 'With a 412: the time by the clock of the tenant' },
  },
};

/**
 * Documents the errors of an operation.
 *
 * @param own By status; a description here replaces the common one.
 */
export function ApiProblems(own: Description): MethodDecorator {
  const all = Object.entries({ ...COMMON_PROBLEMS, ...own });
  return applyDecorators(
    ...all.map(([status, description]) => {
      const content = { 'application/json': { schema: problem } };
      return ApiResponse({ status: Number(status), description, content });
    }),
  );
}
