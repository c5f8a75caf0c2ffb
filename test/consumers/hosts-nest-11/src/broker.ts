import { once } from 'node:events';
import { connect } from 'node:net';
import { skip } from './skipping.js';

/** Whether a RabbitMQ answers on its usual port. With `REQUIRE_SERVERS=1` it must. */
export async function isBrokerThere(user: string): Promise<boolean> {
  const socket = connect(5672, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch (error) {
    if (process.env.REQUIRE_SERVERS === '1') throw error;
    skip(`no RabbitMQ on 127.0.0.1:5672 for ${user}`);
    return false;
  } finally {
    socket.destroy();
  }
}
