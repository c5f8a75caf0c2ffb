import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';

/** Serves the API's description, and a page to try it out on: get a token, press Authorize, and paste it there. */
export function serveApiDocumentation(app: INestApplication, tokenCommand: string): void {
  const document = new DocumentBuilder()
    .setTitle('User provisioning')
    .setDescription(
      `Makes, shows, changes and deletes users of a CyberArk Identity tenant, for named machines only.\n\nFor the Authorize dialogue, the \`access_token\` that this prints:\n\n    ${tokenCommand}`,
    )
    .setVersion('0.2.0')
    .addBearerAuth({ type: 'http', scheme: 'bearer', bearerFormat: 'JWT' })
    .build();
  SwaggerModule.setup('docs', app, () => SwaggerModule.createDocument(app, document));
}
