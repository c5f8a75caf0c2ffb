import { Agent } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { ClientRejectedError, createAccessTokenVerifier, genericOAuth2, privateKeyJwt } from 'nestjs-identity-m2m';
import { AUDIENCE, CLIENT_ID, CLIENT_KEY, CLIENT_SECRET, tokenOf, withTokens } from './machine.mjs';

/** How long a wrong secret is tried, and the maximum number of token requests for it. */
const WRONG_SECRET_MS = 10_000;
const MOST_REQUESTS = 5;
/** How long a server stays stopped at least, and how soon after its return there must be a token. */
const OUTAGE_MS = 3000;
const RECOVERY_MS = 5000;

const byEndpoint = ({ origin, maker }, options) =>
  genericOAuth2({ tokenEndpoint: origin + maker.tokenEndpoint, ...options });

const issuerOf = ({ origin, maker }) => maker.issuer?.(origin) ?? origin;

/**
 * Each takes a running server, and returns a result to print, or nothing. It throws if the library fails, and returns
 * `NOT_THERE` if the server lacks the feature. Later ones may stop the server.
 */
export const checks = {
  basic: async (server) => {
    await tokenOf({ ...server.maker.client, identityProvider: byEndpoint(server) });
  },

  body: async (server) => {
    if (!server.maker.post) return NOT_THERE;
    const identityProvider = byEndpoint(server, { clientSecretMethod: 'client_secret_post' });
    await tokenOf({ ...server.maker.client, identityProvider, ...server.maker.post });
  },

  key: async (server) => {
    if (!server.maker.hasKeys) return NOT_THERE;
    const client = { clientId: `${CLIENT_ID}-key`, clientSecret: undefined, ...server.maker.client };
    const clientAuthentication = privateKeyJwt({ key: CLIENT_KEY });
    await tokenOf({ ...client, identityProvider: byEndpoint(server), clientAuthentication });
    const { assertionAudience } = server.maker;
    const identityProvider = genericOAuth2({ issuer: issuerOf(server), assertionAudience });
    await tokenOf({ ...client, identityProvider, clientAuthentication });
    return assertionAudience && `aud: ${assertionAudience}`;
  },

  discovery: async (server) => {
    if (!server.maker.hasMetadata) return NOT_THERE;
    await tokenOf({ ...server.maker.client, identityProvider: genericOAuth2({ issuer: issuerOf(server) }) });
  },

  'JWT fitted': async (server) => {
    const { jwt } = server.maker;
    if (!jwt) return NOT_THERE;
    const token = await tokenOf({ ...server.maker.client, identityProvider: byEndpoint(server), ...jwt.client });
    const guard = (options) => verdict(server, token, { ...jwt.fit }, { audience: jwt.audience, ...options });
    const clients = [jwt.client?.clientId ?? CLIENT_ID];
    letIn(await guard({ clients }), clients);
    refused(await guard({ clients, audience: 'another-api' }), {
      reason: 'audience_mismatch',
      claim: 'aud',
    });
    refused(await guard({ clients: ['another-client'] }), { reason: 'client_not_allowed' });
  },

  'JWT defaults': async (server) => {
    const { jwt } = server.maker;
    if (!jwt) return NOT_THERE;
    const token = await tokenOf({ ...server.maker.client, identityProvider: byEndpoint(server), ...jwt.client });
    const clients = [jwt.client?.clientId ?? CLIENT_ID];
    const result = await verdict(server, token, {}, { audience: jwt.audience, clients });
    if (!jwt.defaults) return letIn(result, clients);
    refused(result, jwt.defaults);
    return `names ${result.claim} ${result.found ?? 'missing'}`;
  },

  'JWT asked': async (server) => {
    const { jwt } = server.maker;
    if (!jwt?.introspection) return NOT_THERE;
    const clientId = jwt.client?.clientId ?? CLIENT_ID;
    const guard = {
      audience: jwt.audience,
      clients: [clientId],
      introspection: [{ clientId, clientSecret: CLIENT_SECRET, opaqueTokens: false }],
    };
    const provider = { ...jwt.fit, introspectionEndpoint: server.origin + jwt.introspection };
    const ask = (token) => verdict(server, token, provider, guard, { sensitive: true });
    const client = { ...server.maker.client, ...jwt.client };
    letIn(await ask(await tokenOf({ ...client, identityProvider: byEndpoint(server) })), [clientId]);
    if (!jwt.revocation) return undefined;
    const identityProvider = byEndpoint(server, { revocationEndpoint: server.origin + jwt.revocation });
    refused(await ask(await tokenOf({ ...client, identityProvider, revokeOnShutdown: true })), {
      reason: 'token_inactive',
    });
    return undefined;
  },

  opaque: async (server) => {
    const { opaque } = server.maker;
    if (!opaque) return NOT_THERE;
    const token = await tokenOf({ ...server.maker.client, identityProvider: byEndpoint(server), ...opaque.client });
    const introspectionEndpoint = server.origin + opaque.introspection;
    const introspection = [{ clientId: CLIENT_ID, clientSecret: CLIENT_SECRET, ...opaque.guard }];
    const ask = (text, options, guard) =>
      verdict(
        server,
        text,
        { introspectionEndpoint, ...opaque.fit, ...options },
        { audience: AUDIENCE, clients: [CLIENT_ID], introspection, ...guard },
      );
    const hasNoAudience = true;
    letIn(await ask(token, { hasNoAudience }), [CLIENT_ID]);
    refused(await ask(token), { reason: 'audience_mismatch', claim: 'aud' });
    refused(await ask(token, { hasNoAudience }, { clients: ['another-client'] }), { reason: 'client_not_allowed' });
    refused(await ask('made-up-token', { hasNoAudience }), { reason: 'token_inactive' });
    if (!opaque.revocation) return undefined;
    // The application ends here, and revokes its token.
    const revocationEndpoint = server.origin + opaque.revocation;
    const identityProvider = byEndpoint(server, { revocationEndpoint });
    const revoked = await tokenOf({
      ...server.maker.client,
      identityProvider,
      revokeOnShutdown: true,
      ...opaque.client,
    });
    refused(await ask(revoked, { hasNoAudience }), { reason: 'token_inactive' });
    return undefined;
  },

  'wrong secret': async (server) => {
    if (server.maker.hasSecrets === false) return NOT_THERE;
    const agent = new CountingAgent();
    const errors = [];
    await withTokens(
      { ...server.maker.client, identityProvider: byEndpoint(server), clientSecret: 'no-secret-02', agent },
      async (tokens) => {
        const end = Date.now() + WRONG_SECRET_MS;
        while (Date.now() < end) {
          errors.push(
            await tokens.getToken().then(
              () => new Error('the call got a token'),
              (error) => error,
            ),
          );
          await wait(100);
        }
      },
    );
    if (!errors.some((error) => error instanceof ClientRejectedError))
      throw new Error(`expected a ClientRejectedError, but got: ${errors[0]}`);
    const wrong = errors.find(({ message }) => !/^((?!network|firewall|allow-list|proxy)[^])*secret/i.test(message));
    if (wrong) throw new Error(`expected a message about the secret, but got: ${wrong}`);
    if (agent.connections > MOST_REQUESTS) throw new Error(`${agent.connections} token requests in 10 s`);
    return String(agent.connections);
  },

  restart: async (server) => {
    await server.stop();
    return withTokens({ ...server.maker.client, identityProvider: byEndpoint(server) }, async (tokens) => {
      const over = new AbortController();
      const served = tokenAt(tokens, over.signal);
      await wait(OUTAGE_MS);
      await server.start();
      const back = Date.now();
      const at = await Promise.race([served, wait(RECOVERY_MS, Infinity)]);
      over.abort();
      if (at === Infinity) throw new Error(`no token within ${RECOVERY_MS} ms after the server returned`);
      return `${Math.max(0, at - back)} ms`;
    });
  },
};

/** Returns when a client that keeps requesting got its first token. */
async function tokenAt(tokens, signal) {
  while (!signal.aborted) {
    const isServed = await tokens.getToken().then(
      () => true,
      () => false,
    );
    if (isServed) return Date.now();
    await wait(50);
  }
  return Infinity;
}

export const NOT_THERE = Symbol('not there');

/** Counts connections; the library makes one for each request. */
class CountingAgent extends Agent {
  connections = 0;
  createConnection(...args) {
    this.connections += 1;
    return super.createConnection(...args);
  }
}

async function verdict(server, token, provider, guard, route) {
  const issuers = [genericOAuth2({ issuer: issuerOf(server), ...provider })];
  const verifier = createAccessTokenVerifier({ issuers, ...guard });
  try {
    return await verifier.verify(token, route);
  } finally {
    verifier.close();
  }
}

function letIn(result, clients) {
  if (!result.ok) throw new Error(`refused: ${toText(result)}`);
  if (!clients.includes(result.caller.clientId))
    throw new Error(`accepted as the wrong client "${result.caller.clientId}"`);
}

function refused(result, expected) {
  const differs = result.ok || Object.keys(expected).some((name) => result[name] !== expected[name]);
  if (differs) throw new Error(`${result.ok ? 'accepted' : toText(result)}, expected ${toText(expected)}`);
}

function toText({ reason, claim, found, expected }) {
  return `${reason} (${claim} ${found ?? 'missing'}, expected ${expected})`;
}
