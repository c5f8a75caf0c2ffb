import type { HttpService } from '@nestjs/axios';
import { type ClientOptions, federatedAssertion, genericOAuth2, jwtBearer, privateKeyJwt } from 'nestjs-identity-m2m';
import { lastValueFrom } from 'rxjs';
import { CLIENT_ID, type PlantedSecrets } from './planted.js';

export interface Instructions {
  readonly planted: PlantedSecrets;
  /** Without a path. */
  readonly tokenServer: string;
  readonly api: string;
  /** An origin that no token is bound to. */
  readonly elsewhere: string;
  /** An origin where nobody listens. */
  readonly nowhere: string;
  /** For the application's own files. */
  readonly directory: string;
  /** To fail in every way; or to tell every secret, so that whoever searches can see that it is found. */
  readonly task: 'fail' | 'tell';
}

/** How the token endpoint fails, by its path. */
const TOKEN_FAILURES = ['refuses', 'breaks', 'resets', 'garbles', 'redirects', 'mistypes', 'hangs'];

/** A client whose token endpoint is at this path. */
export function clientOf(
  { planted, tokenServer, api, nowhere }: Instructions,
  path: string,
  options: Partial<ClientOptions> = {},
): ClientOptions {
  const base = path === 'is away' ? nowhere : tokenServer;
  return {
    identityProvider: genericOAuth2({ tokenEndpoint: `${base}/${path}` }),
    clientId: CLIENT_ID,
    clientSecret: { current: planted.clientSecret, next: planted.nextSecret },
    allowedOrigins: [api, nowhere],
    tokenRequestTimeoutMs: path === 'hangs' ? 50 : 5000,
    // Less than any back-off: a call fails with the attempt that it waits for. A refusal fails it in any case.
    acquireTimeoutMs: path.startsWith('refuses') ? 5000 : 400,
    ...options,
    http: { baseURL: api, ...options.http },
  };
}

/** Clients that get no token, but for `bound`, by their names. */
export function failingClients(instructions: Instructions): Record<string, ClientOptions> {
  const { planted } = instructions;
  const client = (path: string, options?: Partial<ClientOptions>) => clientOf(instructions, path, options);
  const authentications: Record<string, Partial<ClientOptions>> = {
    raw: { clientAuthentication: 'client_secret_basic_raw' },
    post: { clientAuthentication: 'client_secret_post' },
    json: { clientAuthentication: 'client_secret_post', tokenRequestFormat: 'json' },
    secretJwt: { clientAuthentication: 'client_secret_jwt' },
    keyJwt: { clientAuthentication: privateKeyJwt({ key: planted.privateKey }), clientSecret: undefined },
    federated: { clientAuthentication: federatedAssertion(planted.assertion), clientSecret: undefined },
    dpop: { dpop: true },
    grant: { grant: jwtBearer(planted.grantAssertion) },
  };

  return {
    bound: client('grants-bound', { dpop: true }),
    away: client('is away'),
    brokenKey: client('grants', {
      clientAuthentication: privateKeyJwt({ key: () => planted.brokenJwk }),
      clientSecret: undefined,
    }),
    noText: client('grants', { clientSecret: (() => ({ secret: planted.clientSecret })) as never }),
    ...Object.fromEntries(TOKEN_FAILURES.map((way) => [way, client(way)])),
    ...Object.fromEntries(
      Object.entries(authentications).map(([name, options]) => [`${name}Refused`, client(`refuses/${name}`, options)]),
    ),
  };
}

/** Calls that fail. */
export function failingCalls({
  nowhere,
  elsewhere,
}: Instructions): Record<string, (http: HttpService) => Promise<unknown>> {
  return {
    401: ({ axiosRef }) => axiosRef.get('/401'),
    403: (http) => lastValueFrom(http.post('/403', { a: 1 })),
    500: ({ axiosRef }) => axiosRef.get('/500'),
    '500-by-fetch': ({ axiosRef }) => axiosRef.get('/500', { adapter: 'fetch' }),
    '500-as-stream': ({ axiosRef }) => axiosRef.get('/500', { responseType: 'stream' }),
    reset: ({ axiosRef }) => axiosRef.get('/reset'),
    'reset-by-fetch': ({ axiosRef }) => axiosRef.get('/reset', { adapter: 'fetch' }),
    'cut-short': ({ axiosRef }) => axiosRef.get('/cut'),
    timeout: ({ axiosRef }) => axiosRef.post('/hang', 'text', { timeout: 50 }),
    aborted: ({ axiosRef }) => axiosRef.get('/hang', { signal: AbortSignal.timeout(30) }),
    redirect: ({ axiosRef }) => axiosRef.get('/redirect'),
    redirected: ({ axiosRef }) => axiosRef.put('/redirect', { a: 1 }, { maxRedirects: 3 }),
    'redirected-without-end': ({ axiosRef }) => axiosRef.get('/loop', { maxRedirects: 3 }),
    'timeout-with-redirects': ({ axiosRef }) => axiosRef.get('/hang', { timeout: 50, maxRedirects: 3 }),
    refused: ({ axiosRef }) => axiosRef.get(nowhere),
    'refused-with-redirects': ({ axiosRef }) => axiosRef.post(nowhere, 'x'.repeat(1000), { maxRedirects: 3 }),
    'refused-by-fetch': ({ axiosRef }) => axiosRef.get(nowhere, { adapter: 'fetch' }),
    'not-bound': ({ axiosRef }) => axiosRef.get(`${elsewhere}/500`),
    'too-long': ({ axiosRef }) => axiosRef.get('/ok', { maxContentLength: 1 }),
    'not-what-was-hoped-for': ({ axiosRef }) => axiosRef.get('/ok', { validateStatus: () => false }),
    'not-to-be-transformed': ({ axiosRef }) =>
      axiosRef.get('/ok', { transformResponse: () => JSON.parse('{') as unknown }),
  };
}
