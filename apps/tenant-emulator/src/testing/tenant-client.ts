/** A complete response. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Undefined if the text is not JSON. */
  readonly json: Record<string, unknown> | undefined;
}

/** The service users of the sample configuration that have a secret. */
export const SECRETS = {
  'svc-provisioning@acme.example': 'dev-only: provisioning p+ss/wörd%21',
  'svc-directory-reader@acme.example': 'dev-only-directory-reader',
  'svc-cli@acme.example': 'dev-only-cli',
  'svc-reporting@acme.example': 'dev-only-reporting',
  'svc-hr@acme.example': 'dev-only-hr',
  'svc-daemon@acme.example': 'dev-only-daemon',
  'svc-device-north@acme.example': 'dev-only-device-north',
  'svc-intruder@acme.example': 'dev-only-intruder',
} as const;

export type SampleClient = keyof typeof SECRETS;

/** Calls a tenant as its clients do. */
export class TenantClient {
  constructor(private readonly url: string) {}

  async send(path: string, init: RequestInit = {}): Promise<Answer> {
    const response = await fetch(this.url + path, init);
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: jsonOf(text) };
  }

  postForm(path: string, parameters: Record<string, string>, authorization?: string): Promise<Answer> {
    return this.send(path, {
      method: 'POST',
      body: new URLSearchParams(parameters),
      headers: authorization === undefined ? {} : { authorization },
    });
  }

  postJson(path: string, body?: object): Promise<Answer> {
    return this.send(path, { method: 'POST', body: body === undefined ? null : JSON.stringify(body) });
  }

  /** Requests a token with Basic. */
  requestToken(applicationId: string, client: SampleClient, parameters: Record<string, string> = {}): Promise<Answer> {
    return this.postForm(
      `/OAuth2/Token/${applicationId}`,
      { grant_type: 'client_credentials', ...parameters },
      basic(client, SECRETS[client]),
    );
  }

  /** Requests a token that is not itself tested. */
  async token(applicationId: string, client: SampleClient, parameters: Record<string, string> = {}): Promise<string> {
    const { json, text } = await this.requestToken(applicationId, client, parameters);
    if (typeof json?.access_token !== 'string') throw new Error(`No token: ${text}`);
    return json.access_token;
  }

  /** Makes a REST call. */
  call(path: string, token: string | undefined, body?: unknown): Promise<Answer> {
    return this.send(path, {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body ?? {}),
      headers: {
        'content-type': 'application/json',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
    });
  }
}

/** Returns a Basic header in the tenant's format: raw. */
export function basic(clientId: string, secret: string): string {
  return `Basic ${Buffer.from(`${clientId}:${secret}`, 'utf8').toString('base64')}`;
}

function jsonOf(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
