// Clients on fetch, undici and node:http.
import { OAuth2Client, OAuth2Fetch } from '@badgateway/oauth2-client';
import * as openid from 'openid-client';
import { bearerFetch } from 'nestjs-identity-m2m';
import { bearerInterceptor } from 'nestjs-identity-m2m/undici';
import { Pool } from 'undici';
import { CLIENT_ID, CLIENT_SECRET, fetchToken, identityM2M } from './credentials.mjs';

const JSON_TYPE = { 'content-type': 'application/json' };

const fetchMethods = (send, api) => {
  const done = async (response) => {
    await response.arrayBuffer();
    return response.status;
  };
  return {
    get: async (path) => done(await send(api + path)),
    post: async (path, body) =>
      done(await send(api + path, { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(body) })),
  };
};

const undiciMethods = (dispatcher, authorization) => {
  const fixed = authorization && { authorization };
  const done = async ({ statusCode, body }) => {
    await body.dump();
    return statusCode;
  };
  return {
    get: async (path) => done(await dispatcher.request({ method: 'GET', path, headers: fixed })),
    post: async (path, body) =>
      done(
        await dispatcher.request({
          method: 'POST',
          path,
          headers: { ...JSON_TYPE, ...fixed },
          body: JSON.stringify(body),
        }),
      ),
  };
};

const CONNECTIONS = 50;

export const fetchClients = {
  'fetch, fixed header': async (to) => {
    const authorization = `Bearer ${to.fixedToken ?? (await fetchToken(to))}`;
    return fetchMethods((url, init) => fetch(url, { ...init, headers: { ...init?.headers, authorization } }), to.api);
  },

  'undici, fixed header': async (to) => {
    const pool = new Pool(to.api, { connections: CONNECTIONS });
    const methods = undiciMethods(pool, `Bearer ${to.fixedToken ?? (await fetchToken(to))}`);
    return { ...methods, close: () => pool.close() };
  },

  '@badgateway/oauth2-client': async (to) => {
    const { origin, pathname } = new URL(to.tokenEndpoint);
    const client = new OAuth2Client({
      server: origin,
      clientId: CLIENT_ID,
      clientSecret: CLIENT_SECRET,
      tokenEndpoint: pathname,
    });
    const wrapper = new OAuth2Fetch({ client, getNewToken: () => client.clientCredentials() });
    return {
      ...fetchMethods((url, init) => wrapper.fetch(url, init), to.api),
      token: () => wrapper.getAccessToken(),
    };
  },

  'openid-client': async (to) => {
    const server = { issuer: new URL(to.tokenEndpoint).origin, token_endpoint: to.tokenEndpoint };
    const config = new openid.Configuration(server, CLIENT_ID, CLIENT_SECRET);
    openid.allowInsecureRequests(config);
    let held;
    const token = async () => {
      if (!held || held.expiresIn() <= 0) held = await openid.clientCredentialsGrant(config);
      return held.access_token;
    };
    const send = async (url, { method = 'GET', headers, body } = {}) =>
      openid
        .fetchProtectedResource(config, await token(), new URL(url), method, body, new Headers(headers))
        .catch((error) => error.response ?? Promise.reject(error));
    return { ...fetchMethods(send, to.api), token };
  },

  'identity-m2m fetch': async (to) => {
    const { provider, token, close } = await identityM2M(to);
    return { ...fetchMethods(bearerFetch(provider), to.api), token, close };
  },

  'identity-m2m undici': async (to) => {
    const { provider, token, close } = await identityM2M(to);
    const pool = new Pool(to.api, { connections: CONNECTIONS });
    const methods = undiciMethods(pool.compose(bearerInterceptor(provider, { origin: to.api })));
    return { ...methods, token, close: () => Promise.all([close(), pool.close()]) };
  },
};
