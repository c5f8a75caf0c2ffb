import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import {
  type ArgumentsHost,
  Catch,
  Controller,
  type ExceptionFilter,
  type INestApplication,
  Scope,
  UseFilters,
} from '@nestjs/common';
import {
  type ClientProxy,
  ClientProxyFactory,
  Ctx,
  EventPattern,
  MessagePattern,
  Payload,
  RmqContext,
  RmqRecordBuilder,
  Transport,
} from '@nestjs/microservices';
import { type Channel, type ChannelModel, connect as connectAmqp, type ConsumeMessage } from 'amqplib';
import { Public, RequireScopes } from 'nestjs-identity-m2m';
import { EMPTY, lastValueFrom } from 'rxjs';
import { eventually, GuardedMessages, topic } from './support/guarded-messages.js';
import { describeWithServer } from './support/servers.js';

const pattern = (name: string): unknown => topic(`settled-${name}`);
const TWO = pattern('two');
const THREE = pattern('three');
const SETTLER_LET_IN = pattern('settler-let-in');
const SETTLER_REFUSED = pattern('settler-refused');
const LATE = pattern('late');
const FAILING = pattern('failing');
const PER_REQUEST = pattern('per-request');
const ASKED = pattern('asked');
const PROBE = pattern('probe');

/** Handlers that ran, and what their channel was settled with. */
const ran: string[] = [];
let closed: string[];
const channels = new Set<Channel>();
const late: (() => void)[] = [];

function settling(context: RmqContext): { channel: Channel; message: ConsumeMessage } {
  const channel = context.getChannelRef() as Channel;
  return { channel, message: context.getMessage() as ConsumeMessage };
}

function ack(context: RmqContext): void {
  const { channel, message } = settling(context);
  channel.ack(message);
}

@Catch()
class RejectingFilter implements ExceptionFilter {
  catch(_exception: unknown, host: ArgumentsHost) {
    const { channel, message } = settling(host.switchToRpc().getContext<RmqContext>());
    channel.nack(message, false, false);
    return EMPTY;
  }
}

@Controller()
class Settling {
  @EventPattern(TWO)
  one(@Ctx() context: RmqContext) {
    ran.push('one');
    ack(context);
  }

  @EventPattern(TWO)
  two() {
    ran.push('two');
  }

  @EventPattern(THREE)
  first(@Ctx() context: RmqContext) {
    ran.push('first');
    ack(context);
  }

  @EventPattern(THREE)
  second() {
    ran.push('second');
  }

  @EventPattern(THREE)
  third() {
    ran.push('third');
  }

  @EventPattern(SETTLER_LET_IN)
  @RequireScopes('admin')
  watches() {
    ran.push('watches');
  }

  @EventPattern(SETTLER_LET_IN)
  async settles(@Ctx() context: RmqContext) {
    await Promise.resolve();
    ran.push('settles');
    ack(context);
  }

  @EventPattern(SETTLER_REFUSED)
  @RequireScopes('admin')
  wouldSettle(@Ctx() context: RmqContext) {
    ran.push('would settle');
    ack(context);
  }

  @EventPattern(SETTLER_REFUSED)
  @Public()
  onlyWatches() {
    ran.push('only watches');
  }

  @EventPattern(LATE)
  @RequireScopes('admin')
  restricted() {
    ran.push('restricted');
  }

  @EventPattern(LATE)
  later(@Ctx() context: RmqContext) {
    ran.push('later');
    late.push(() => ack(context));
  }

  @EventPattern(FAILING)
  @RequireScopes('admin')
  refused() {
    ran.push('refused');
  }

  @EventPattern(FAILING)
  @UseFilters(RejectingFilter)
  fails() {
    ran.push('fails');
    throw new Error('of the application');
  }

  @MessagePattern(PROBE)
  @Public()
  probe(@Payload() _data: unknown, @Ctx() context: RmqContext) {
    ack(context);
    return 'served';
  }

  @EventPattern(ASKED)
  asked(@Ctx() context: RmqContext) {
    ack(context);
    return 'answer';
  }

  @EventPattern(ASKED)
  askedToo() {
    return 'another answer';
  }
}

@Controller({ scope: Scope.REQUEST })
class PerRequest {
  @EventPattern(PER_REQUEST)
  one(@Ctx() context: RmqContext) {
    ran.push('one');
    ack(context);
  }

  @EventPattern(PER_REQUEST)
  @RequireScopes('admin')
  two() {
    ran.push('two');
  }
}

await describeWithServer('a message of RabbitMQ that several handlers are given', ['RabbitMQ', 5672], () => {
  const dead = topic('several-dead');
  /** One message at a time, so that one that is left unsettled would stop everything. */
  const options = {
    urls: ['amqp://guest:guest@127.0.0.1:5672'],
    queue: topic('several-manual'),
    noAck: false,
    prefetchCount: 1,
    queueOptions: {
      durable: false,
      autoDelete: true,
      arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead },
    },
  };
  let messages: GuardedMessages;
  let connection: ChannelModel;
  let channel: Channel;
  let app: INestApplication;
  let client: ClientProxy;
  let bearer: string;
  let admin: string;

  beforeAll(async () => {
    messages = await GuardedMessages.start();
    bearer = `Bearer ${await messages.token()}`;
    admin = `Bearer ${await messages.token({ scope: 'admin' })}`;
    connection = await connectAmqp(options.urls[0]!);
    channel = await connection.createChannel();
    await channel.assertQueue(dead, { durable: false });
    app = await messages.hybrid([{ transport: Transport.RMQ, options }], { controllers: [Settling, PerRequest] });
    const clientOptions = { ...options, noAck: true, prefetchCount: 0 };
    client = ClientProxyFactory.create({ transport: Transport.RMQ, options: clientOptions });
    const server = app.getMicroservices()[0]!.unwrap<{ _channels: { _channel: Channel }[] }>();
    for (const { _channel } of server._channels) {
      if (channels.has(_channel)) continue;
      channels.add(_channel);
      _channel.on('error', (error: Error) => closed.push(error.message));
    }
  });
  afterAll(async () => {
    await client.close();
    await app.close();
    await channel.deleteQueue(dead);
    await connection.close();
    await messages.close();
  });
  beforeEach(async () => {
    await channel.purgeQueue(dead);
    closed = [];
    ran.length = late.length = messages.events.length = 0;
  });
  afterEach(() => {
    if (closed.length > 0) throw new Error(`the broker closed a channel: ${closed.join()}`);
  });

  const record = (authorization: string | undefined) =>
    new RmqRecordBuilder({}).setOptions({ headers: authorization === undefined ? {} : { authorization } }).build();
  /** Sends an event, and waits until the next message is served, which is not before this one is settled. */
  const emit = async (name: unknown, authorization?: string) => {
    await lastValueFrom(client.emit(name as string, record(authorization)), { defaultValue: undefined });
    expect(await lastValueFrom(client.send(PROBE as string, {}))).toBe('served');
  };
  const deadLettered = () => messages.events.filter(({ type }) => type.startsWith('message.'));
  const isDead = (reason: string) => [{ type: 'message.dead_lettered', transport: 'rabbitmq', reason }];
  const hasDead = (count: number) =>
    eventually(async () => ((await channel.checkQueue(dead)).messageCount === count ? true : undefined));

  it.each([
    ['two', TWO],
    ['three', THREE],
    ['two that are made for each message', PER_REQUEST],
  ])('host-6: is rejected once if %s handlers are refused', async (_name, name) => {
    await emit(name);
    await emit(name);
    await hasDead(2);
    expect(ran).toEqual([]);
    expect(deadLettered()).toEqual([...isDead('credential_missing'), ...isDead('credential_missing')]);
  });

  it('host-6: is rejected once if the guard can’t decide', async () => {
    await emit(THREE, `Bearer ${await messages.undecidableToken()}`);
    await hasDead(1);
    expect(deadLettered()).toEqual(isDead('issuer_unavailable'));
  });

  it.each([
    ['last', SETTLER_LET_IN, 'settles'],
    ['first, and made for each message', PER_REQUEST, 'one'],
  ])('host-6, host-7: is settled by the allowed handler, which stands %s', async (_name, name, handler) => {
    await emit(name, bearer);
    expect(ran).toEqual([handler]);
    expect(deadLettered()).toEqual([]);
    await hasDead(0);
  });

  it('host-6, host-7: is rejected once the allowed handlers have ended without settling it', async () => {
    await emit(SETTLER_REFUSED);
    expect(ran).toEqual(['only watches']);
    expect(deadLettered()).toEqual(isDead('credential_missing'));
    await hasDead(1);
    await emit(SETTLER_REFUSED, admin);
    expect(ran.slice(1).toSorted()).toEqual(['only watches', 'would settle']);
    await hasDead(1);
  });

  it('host-6: is not settled again by a late handler', async () => {
    await emit(LATE, bearer);
    expect(ran).toEqual(['later']);
    for (const settle of late) settle();
    expect(await lastValueFrom(client.send(PROBE as string, {}))).toBe('served');
    await hasDead(1);
  });

  it('host-6: is settled once if a filter of the application rejects it', async () => {
    await emit(FAILING, bearer);
    expect(ran).toEqual(['fails']);
    expect(deadLettered()).toEqual([]);
    await hasDead(1);
  });

  it('host-6: is rejected once, with a reply, if the sender waits for one', async () => {
    await expect(lastValueFrom(client.send(ASKED as string, record(undefined)))).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
    });
    expect(await lastValueFrom(client.send(ASKED as string, record(bearer)))).toMatchObject({ current: 'answer' });
    await hasDead(1);
  });

  it('host-6: is handled as usual if all handlers are allowed', async () => {
    await emit(TWO, bearer);
    expect(ran.toSorted()).toEqual(['one', 'two']);
    expect(deadLettered()).toEqual([]);
    await hasDead(0);
  });
});
