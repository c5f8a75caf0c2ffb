import axios from 'axios';
import { HttpService } from '@nestjs/axios';
import { IdentityM2MConfigurationError } from '../config/configuration-error.js';
import { EventStream } from '../foundation/event-stream.js';
import type { OutboundEvent } from '../token/outbound-events.js';
import { TokenProvider } from '../token/token-provider.js';

/** The provider of a module without clients: every method throws a configuration error. */
export class UnconfiguredTokenProvider extends TokenProvider {
  readonly clientName = 'none';
  readonly events = new EventStream<OutboundEvent>();

  peek(): never {
    throw notConfigured();
  }

  async getToken(): Promise<never> {
    throw notConfigured();
  }

  async renewToken(): Promise<never> {
    throw notConfigured();
  }

  status(): never {
    throw notConfigured();
  }

  explain(): never {
    throw notConfigured();
  }

  override retryNow(): never {
    throw notConfigured();
  }

  override async proof(): Promise<never> {
    throw notConfigured();
  }

  override learnNonce(): never {
    throw notConfigured();
  }
}

/** Returns an `HttpService` whose calls all fail: sending them without the expected token would be worse. */
export function unconfiguredHttpService(): HttpService {
  const adapter = () => Promise.reject(notConfigured());
  return new HttpService(axios.create({ adapter }));
}

function notConfigured(): IdentityM2MConfigurationError {
  const expected = 'a client, because its HttpService or TokenProvider is used';
  return new IdentityM2MConfigurationError([{ path: 'client', expected, found: 'nothing' }]);
}
