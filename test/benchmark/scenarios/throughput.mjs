// Calls per second over keep-alive connections to a real server.
import { createClient, withServers } from '../clients.mjs';

const contenders = [
  'axios, fixed header per instance',
  'stock HttpService, fixed header',
  'openid-client',
  '@badgateway/oauth2-client',
  'fetch, fixed header',
  'undici, fixed header',
  'identity-m2m HttpService',
  'identity-m2m fetch',
  'identity-m2m undici',
];

const WARM_UP_MS = 1500;
const MEASURED_MS = 3000;

const scenario = (title, concurrency, call) => ({
  title,
  reference: 'axios, fixed header per instance',
  contenders,
  rounds: 5,
  unit: 'calls/s',
  value: ({ perSecond }) => perSecond,
  measure: ({ contender }) =>
    withServers(async (servers) => {
      const client = await createClient(contender, servers);
      let done = 0;
      const run = { isOver: false };
      const loop = async () => {
        while (!run.isOver) {
          const status = await call(client);
          if (status !== 200) throw new Error(`answered ${status}`);
          done += 1;
        }
      };
      const loops = Promise.all(Array.from({ length: concurrency }, loop));
      await delay(WARM_UP_MS);
      const from = { done, at: performance.now() };
      await delay(MEASURED_MS);
      const perSecond = ((done - from.done) / (performance.now() - from.at)) * 1000;
      run.isOver = true;
      await loops;
      await client.close?.();
      return { perSecond };
    }),
});

const USER = { name: 'first.last@example.com', mail: 'first.last@example.com', displayName: 'First Last' };

export const get = scenario('GET over keep-alive HTTP, 50 at once', 50, (client) => client.get('/things'));
export const post = scenario('POST of a small JSON over keep-alive HTTP, 16 at once', 16, (client) =>
  client.post('/things', USER),
);

function delay(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
