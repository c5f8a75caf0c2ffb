import { Module } from '@nestjs/common';
import { ConfigModule, ConfigService } from '@nestjs/config';
import { genericOAuth2, IdentityM2MModule } from 'nestjs-identity-m2m';
import { ReportsController } from './reports.controller.js';
import { ReportsService } from './reports.service.js';

@Module({
  imports: [
    ConfigModule.forRoot({ isGlobal: true, ignoreEnvFile: true }),
    IdentityM2MModule.forRootAsync({
      inject: [ConfigService],
      useFactory: (config: ConfigService) => ({
        client: {
          identityProvider: genericOAuth2({ tokenEndpoint: config.getOrThrow<string>('TOKEN_ENDPOINT') }),
          clientId: 'reports',
          clientSecret: () => config.getOrThrow<string>('CLIENT_SECRET'),
          allowedOrigins: [config.getOrThrow<string>('BILLING_URL')],
          http: { baseURL: config.getOrThrow<string>('BILLING_URL') },
        },
        guard: {
          issuers: [genericOAuth2({ issuer: config.getOrThrow<string>('ISSUER_URL') })],
          audience: 'reports-api',
          clients: ['dashboard'],
        },
      }),
      globalGuard: true,
    }),
  ],
  controllers: [ReportsController],
  providers: [ReportsService],
})
export class AppModule {}
