import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { genericOAuth2, IdentityM2MModule, m2mHttpToken, tlsClientAuth, withToken } from 'nestjs-identity-m2m';
import type { HttpService } from '@nestjs/axios';

/** What the parent process says is to be done. */
export interface FetchingApplicationOptions {
  readonly tokenEndpoint: string;
  readonly api: string;
  readonly mtls: { readonly url: string; readonly cert: string; readonly key: string; readonly ca: string };
  /** Whether the application is closed in the end. */
  readonly close: boolean;
}

// An application that has calls of every kind behind it, and then nothing to do: it ends, unless something keeps it.
const { tokenEndpoint, api, mtls, close } = JSON.parse(process.argv[2]!) as FetchingApplicationOptions;
const client = {
  identityProvider: genericOAuth2({ tokenEndpoint }),
  clientId: 'child',
  clientSecret: 'secret',
  allowedOrigins: [api],
  http: { baseURL: api },
};
const application = await NestFactory.createApplicationContext(
  IdentityM2MModule.forRoot({
    client: { ...client, start: 'require' },
    clients: {
      spread: { ...client, start: 'warm', startSpreadMs: 3_600_000 },
      tenants: { perTenant: (tenant) => ({ ...client, clientId: tenant }) },
      certificate: {
        identityProvider: genericOAuth2({ tokenEndpoint: mtls.url }),
        clientId: 'certificate',
        clientAuthentication: tlsClientAuth({ certificate: mtls.cert, key: mtls.key, ca: mtls.ca }),
        allowedOrigins: [mtls.url],
        http: { baseURL: mtls.url },
      },
    },
  }),
  { logger: false },
);
const http = application.get<HttpService>(m2mHttpToken('spread'), { strict: false });
await Promise.all([
  http.axiosRef.get('/'),
  http.axiosRef.get('/', withToken({ scope: 'other' })),
  http.axiosRef.get('/', withToken({ client: 'tenants', tenant: 'acme' })),
  application.get<HttpService>(m2mHttpToken('certificate'), { strict: false }).axiosRef.get('/api'),
]);
if (close) await application.close();
console.log('done');
