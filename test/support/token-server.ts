import { type Answer, json, TestServer } from './http-server.js';

/** An OAuth token endpoint: grants token after token, until it is told to do something else. */
export class TestTokenServer {
  lifetimeSeconds: number = 3600;
  /** Takes the place of granting a token. */
  fault: Answer | undefined;
  /** Tokens granted so far, in order. */
  readonly granted: string[] = [];

  private constructor(readonly server: TestServer) {}

  static async start(): Promise<TestTokenServer> {
    const server = await TestServer.start(() => {});
    const tokens = new TestTokenServer(server);
    server.answer = (...args) => (tokens.fault ?? tokens.#grant)(...args);
    return tokens;
  }

  get url(): string {
    return `${this.server.url}/token`;
  }

  get requests() {
    return this.server.requests;
  }

  close(): Promise<void> {
    return this.server.close();
  }

  readonly #grant: Answer = (...args) => {
    this.granted.push(`token-${this.granted.length + 1}`);
    const body = { access_token: this.granted.at(-1), token_type: 'Bearer', expires_in: this.lifetimeSeconds };
    return json(200, body)(...args);
  };
}
