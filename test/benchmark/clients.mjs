import { axiosClients } from './contenders/axios-clients.mjs';
import { fetchClients } from './contenders/fetch-clients.mjs';
import { startServers } from './start-servers.mjs';

const clients = { ...axiosClients, ...fetchClients };

/** A client by its name, for the servers of {@link startServers}. */
export function createClient(name, servers) {
  return clients[name](servers);
}

/** Runs a measurement with a client and servers that are started for it and stopped after it. */
export async function withServers(measure) {
  const servers = await startServers();
  try {
    return await measure(servers);
  } finally {
    servers.close();
  }
}
