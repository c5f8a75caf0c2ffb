import { fork } from 'node:child_process';
import { once } from 'node:events';

/** Starts the token endpoint and the API, and returns the means to control them. */
export async function startServers() {
  const child = fork(new URL('./servers.mjs', import.meta.url));
  const [{ ready }] = await once(child, 'message');
  let lastId = 0;
  const ask = (question, argument) =>
    new Promise((resolve) => {
      const id = ++lastId;
      const onAnswer = (message) => {
        if (message.id !== id) return;
        child.off('message', onAnswer);
        resolve(message.answer);
      };
      child.on('message', onAnswer);
      child.send({ id, question, argument });
    });
  return {
    ...ready,
    set: (changes) => ask('set', changes),
    revokeAll: () => ask('revokeAll'),
    reset: () => ask('reset'),
    seen: () => ask('seen'),
    close: () => child.disconnect(),
  };
}
