// Clients on axios: the bare one, rivals as their documentation has them, and the library's.
import axios from 'axios';
import { clientCredentials } from 'axios-oauth-client';
import tokenProvider from 'axios-token-interceptor';
import { OAuth2Client } from 'google-auth-library';
import { ClientCredentials } from 'simple-oauth2';
import { HttpService } from '@nestjs/axios';
import { firstValueFrom } from 'rxjs';
import { CLIENT_ID, CLIENT_SECRET, fetchToken, identityM2M } from './credentials.mjs';

const methods = (instance) => ({
  get: async (path) => (await instance.get(path)).status,
  post: async (path, body) => (await instance.post(path, body)).status,
});

const observableMethods = (http) => ({
  get: async (path) => (await firstValueFrom(http.get(path))).status,
  post: async (path, body) => (await firstValueFrom(http.post(path, body))).status,
});

/** Returns a 401 like any other status, so that all contenders report it in the same way. */
const instanceFor = ({ api, adapter }, options) =>
  axios.create({ baseURL: api, validateStatus: () => true, ...(adapter && { adapter }), ...options });

const bearer = (token) => ({ Authorization: `Bearer ${token}` });

export const axiosClients = {
  'axios, no header': async (to) => methods(instanceFor(to)),

  'axios, fixed header per instance': async (to) => {
    const headers = bearer(to.fixedToken ?? (await fetchToken(to)));
    return methods(instanceFor(to, { headers }));
  },

  'axios, fixed header per call': async (to) => {
    const headers = bearer(to.fixedToken ?? (await fetchToken(to)));
    const instance = instanceFor(to);
    return {
      get: async (path) => (await instance.get(path, { headers })).status,
      post: async (path, body) => (await instance.post(path, body, { headers })).status,
    };
  },

  'stock HttpService, fixed header': async (to) => {
    const headers = bearer(to.fixedToken ?? (await fetchToken(to)));
    return observableMethods(new HttpService(instanceFor(to, { headers })));
  },

  'axios-token-interceptor': async (to) => {
    const instance = instanceFor(to);
    const getToken = tokenProvider.tokenCache(
      clientCredentials(axios.create(), to.tokenEndpoint, CLIENT_ID, CLIENT_SECRET),
      { getMaxAge: ({ expires_in: seconds }) => seconds * 1000 },
    );
    const headerFormatter = (body) => `Bearer ${body.access_token}`;
    instance.interceptors.request.use(tokenProvider({ getToken, headerFormatter }));
    return { ...methods(instance), token: getToken };
  },

  'simple-oauth2': async (to) => {
    const { origin, pathname } = new URL(to.tokenEndpoint);
    const client = new ClientCredentials({
      client: { id: CLIENT_ID, secret: CLIENT_SECRET },
      auth: { tokenHost: origin, tokenPath: pathname },
    });
    let held;
    const token = async () => {
      if (!held || held.expired()) held = await client.getToken({});
      return held.token.access_token;
    };
    const instance = instanceFor(to);
    const headers = async () => ({ headers: bearer(await token()) });
    return {
      get: async (path) => (await instance.get(path, await headers())).status,
      post: async (path, body) => (await instance.post(path, body, await headers())).status,
      token,
    };
  },

  'google-auth-library': async (to) => {
    const client = new OAuth2Client({ eagerRefreshThresholdMillis: 0 });
    client.refreshHandler = async () => {
      const { access_token, expires_in } = await requestToken(to);
      return { access_token, expiry_date: Date.now() + expires_in * 1000 };
    };
    const instance = instanceFor(to);
    const token = async () => (await client.getRequestHeaders()).get('authorization');
    const headers = async () => ({ headers: { Authorization: await token() } });
    return {
      get: async (path) => (await instance.get(path, await headers())).status,
      post: async (path, body) => (await instance.post(path, body, await headers())).status,
      token,
    };
  },

  'identity-m2m axios': async (to) => {
    const { http, ...rest } = await identityM2M(to);
    return { ...methods(http.axiosRef), ...rest };
  },

  'identity-m2m HttpService': async (to) => {
    const { http, ...rest } = await identityM2M(to);
    return { ...observableMethods(http), ...rest };
  },
};

async function requestToken({ tokenEndpoint }) {
  const body = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: CLIENT_ID,
    client_secret: CLIENT_SECRET,
  });
  return (await axios.post(tokenEndpoint, body)).data;
}
