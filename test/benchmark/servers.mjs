// The other side of every benchmark, in a process of its own: a token endpoint and an API that checks the tokens. The
// parent process controls it and reads its counts by messages.
import { createServer } from 'node:http';

const API_ANSWER = JSON.stringify({ ok: true });

const state = { lifetimeSeconds: 3600, isDown: false, delayMs: 0, revokedBefore: 0 };
let tokenRequests = [];
let unauthorized = 0;
let calls = 0;
let issued = 0;
/** Tokens and their expiry, by the API's clock. */
const ends = new Map();

const listening = (listener) =>
  new Promise((resolve) => {
    const server = createServer({ keepAliveTimeout: 60_000 }, listener);
    server.listen(0, '127.0.0.1', () => resolve(server));
  });

const tokens = await listening((request, response) => {
  request.resume().on('end', () => {
    tokenRequests.push(Date.now());
    setTimeout(() => {
      if (state.isDown) {
        response.writeHead(503, { 'content-type': 'text/plain' }).end('down');
        return;
      }
      issued += 1;
      // As long as a JWT with a few claims, signed with RSA.
      const accessToken = `t${issued}-${'x'.repeat(800)}`;
      ends.set(accessToken, { number: issued, at: Date.now() + state.lifetimeSeconds * 1000 });
      response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' });
      response.end(
        JSON.stringify({ access_token: accessToken, token_type: 'Bearer', expires_in: state.lifetimeSeconds }),
      );
    }, state.delayMs);
  });
});

function isAuthorized(header = '') {
  if (header === 'Bearer control') return true;
  const token = ends.get(header.slice('Bearer '.length));
  return token !== undefined && token.at > Date.now() && token.number > state.revokedBefore;
}

const api = await listening((request, response) => {
  request.resume().on('end', () => {
    calls += 1;
    const ok = isAuthorized(request.headers.authorization);
    if (!ok) unauthorized += 1;
    const headers = { 'content-type': 'application/json', ...(ok ? {} : { 'www-authenticate': 'Bearer' }) };
    response.writeHead(ok ? 200 : 401, headers).end(API_ANSWER);
  });
});

const questions = {
  set: (changes) => Object.assign(state, changes),
  revokeAll: () => (state.revokedBefore = issued),
  reset: () => {
    tokenRequests = [];
    unauthorized = 0;
    calls = 0;
  },
  seen: () => ({ tokenRequests, unauthorized, calls }),
};

process.on('message', ({ id, question, argument }) => process.send({ id, answer: questions[question](argument) }));
process.on('disconnect', () => process.exit());
process.send({
  ready: {
    tokenEndpoint: `http://127.0.0.1:${tokens.address().port}/token`,
    api: `http://127.0.0.1:${api.address().port}`,
  },
});
