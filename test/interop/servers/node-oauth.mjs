// @node-oauth/oauth2-server, on node:http as its documentation has it: opaque tokens, no introspection.
import { createServer } from 'node:http';
import OAuth2Server from '@node-oauth/oauth2-server';

const { PORT, CLIENT_ID, CLIENT_SECRET } = process.env;
const { Request, Response } = OAuth2Server;

const server = new OAuth2Server({
  model: {
    getClient: (id, secret) =>
      id === CLIENT_ID && secret === CLIENT_SECRET ? { id, grants: ['client_credentials'] } : undefined,
    getUserFromClient: ({ id }) => ({ id }),
    saveToken: (token, client, user) => ({ ...token, client, user }),
  },
});

async function serve(request, answer) {
  const chunks = await request.toArray();
  const body = Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()));
  const { pathname, search } = new URL(request.url, 'http://localhost');
  if (pathname !== '/token') {
    answer.writeHead(404).end();
    return;
  }
  const response = new Response();
  const query = Object.fromEntries(new URLSearchParams(search));
  await server
    .token(new Request({ method: request.method, headers: request.headers, query, body }), response)
    .catch(() => {}); // the response has the error
  answer.writeHead(response.status, { 'content-type': 'application/json', ...response.headers });
  answer.end(JSON.stringify(response.body));
}

createServer((request, answer) => void serve(request, answer)).listen(Number(PORT), '127.0.0.1');
