import { createServer, request, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  CertificateAuthority,
  type IssuedCertificate,
  selfSignedCertificate,
} from '../../../../../test/support/certificates.js';
import { ClientCertificateAgent } from './client-certificate-agent.js';

let authority: CertificateAuthority;
let tls: IssuedCertificate;
let first: IssuedCertificate;
let second: IssuedCertificate;
beforeAll(async () => {
  authority = await CertificateAuthority.create('clients');
  tls = await selfSignedCertificate('127.0.0.1', { hosts: ['127.0.0.1'] });
  [first, second] = [await authority.issue('first'), await authority.issue('second')];
});

let server: Server;
/** Who called, with which of the connections. */
let seen: [string, number][];
/** Answers the calls that are held. */
let releases: (() => void)[];
beforeEach(async () => {
  seen = [];
  releases = [];
  const sockets: unknown[] = [];
  server = createServer(
    { ...tls, ca: authority.pem, requestCert: true, rejectUnauthorized: true },
    (message, response) => {
      const socket = message.socket as TLSSocket;
      if (!sockets.includes(socket)) sockets.push(socket);
      seen.push([String(socket.getPeerCertificate().subject.CN), sockets.indexOf(socket)]);
      if (message.url === '/held') releases.push(() => response.end('held'));
      else response.end('ok');
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

const agents: ClientCertificateAgent[] = [];
afterEach(async () => {
  for (const agent of agents.splice(0)) agent.destroy();
  await new Promise((resolve) => server.close(resolve));
});

function agentOf(identity: () => IssuedCertificate, options?: { keepAlive: boolean }) {
  const agent = new ClientCertificateAgent(async () => identity(), options);
  agents.push(agent);
  return agent;
}

/** A call, whose connection is free once this resolves. */
async function call(agent: ClientCertificateAgent, path = '/'): Promise<string> {
  const { port } = server.address() as AddressInfo;
  const body = await new Promise<string>((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, agent, ca: tls.cert };
    request(options, (response) => void text(response).then(resolve, reject))
      .on('error', reject)
      .end();
  });
  await new Promise(setImmediate);
  return body;
}

describe('an agent with a client certificate', () => {
  it('presents it, and uses a connection for several calls', async () => {
    const agent = agentOf(() => first);
    expect([await call(agent), await call(agent)]).toEqual(['ok', 'ok']);
    expect(seen).toEqual([
      ['first', 0],
      ['first', 0],
    ]);
  });

  it('uses a connection once if its options require it', async () => {
    const agent = agentOf(() => first, { keepAlive: false });
    await call(agent);
    await call(agent);
    expect(seen).toEqual([
      ['first', 0],
      ['first', 1],
    ]);
  });

  it('reads the certificate for each connection', async () => {
    let identity = first;
    const agent = agentOf(() => identity);
    const held = call(agent, '/held');
    while (releases.length === 0) await new Promise(setImmediate);
    identity = second;
    await call(agent);
    releases[0]!();
    expect(await held).toBe('held');
    expect(seen).toEqual([
      ['first', 0],
      ['second', 1],
    ]);
  });

  it('closes its free connections when the certificate changes, and uses the new one', async () => {
    let identity = first;
    const agent = agentOf(() => identity);
    await call(agent);
    const [socket] = Object.values(agent.freeSockets).flat();
    expect(socket?.destroyed).toBe(false);
    identity = second;
    agent.retireConnections();
    expect(socket?.destroyed).toBe(true);
    await call(agent);
    await call(agent);
    expect(seen).toEqual([
      ['first', 0],
      ['second', 1],
      ['second', 1],
    ]);
  });

  it('lets a call under way continue when the certificate changes, and uses its connection for no other', async () => {
    let identity = first;
    const agent = agentOf(() => identity);
    const held = call(agent, '/held');
    while (releases.length === 0) await new Promise(setImmediate);
    identity = second;
    agent.retireConnections();
    releases[0]!();
    expect(await held).toBe('held');
    await call(agent);
    expect(seen).toEqual([
      ['first', 0],
      ['second', 1],
    ]);
  });

  it('uses no connection for a second call that was begun with the old certificate', async () => {
    const identities: ((identity: IssuedCertificate) => void)[] = [];
    const agent = new ClientCertificateAgent(() => new Promise((resolve) => identities.push(resolve)));
    agents.push(agent);
    const early = call(agent);
    await new Promise(setImmediate);
    agent.retireConnections();
    identities[0]!(first);
    await early;
    const late = call(agent);
    await new Promise(setImmediate);
    identities[1]?.(second);
    await late;
    expect(seen.map(([name]) => name)).toEqual(['first', 'second']);
  });

  it('fails a call whose certificate cannot be read, or does not fit its key', async () => {
    const unreadable = agentOf(() => {
      throw new Error('no such file');
    });
    await expect(call(unreadable)).rejects.toThrow('no such file');
    const mixed = agentOf(() => ({ cert: first.cert, key: second.key }));
    await expect(call(mixed)).rejects.toThrow(/key values mismatch/);
    expect(seen).toEqual([]);
  });
});
