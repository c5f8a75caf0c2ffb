// oauth2-mock-server, for development and tests: accepts every client, and sets `aud` from a parameter of that name.
import { OAuth2Server } from 'oauth2-mock-server';

const { PORT } = process.env;

const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
// Its tokens name no client by themselves; this is how its own documentation adds one.
server.service.on('beforeTokenSigning', (token, request) => {
  const [, basic] = (request.headers.authorization ?? '').split(' ');
  const [clientId] = basic ? Buffer.from(basic, 'base64').toString().split(':') : [request.body.client_id];
  token.payload.client_id = clientId;
});
await server.start(Number(PORT), 'localhost');
