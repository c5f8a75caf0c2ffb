import { defineScript } from 'redis';

/** Where a request is kept. Both names have the client in braces, so that a cluster keeps them in one place. */
export interface RedisKeys {
  readonly request: string;
  /** The client's keys, in the order in which they were first used. */
  readonly history: string;
}

/** The server's clock is the one clock of all instances. */
const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`;

const IS_OWNER = `if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end`;

/** Replies with a kind, and with the outcome or the start of the doubt. */
const begin = defineScript({
  NUMBER_OF_KEYS: 2,
  SCRIPT: `${NOW}
local digest, owner, leaseMs, keepMs, maxKeys = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local member, prefix, startedAt = ARGV[6], ARGV[7], ARGV[8]
local request = redis.call('HMGET', KEYS[1], 'digest', 'outcome', 'startedAt', 'leasedUntil')
if request[1] then
  if request[1] ~= digest then return {'other content'} end
  if request[2] then return {'completed', request[2]} end
  if request[4] and tonumber(request[4]) > now then return {'under way'} end
else
  redis.call('HSET', KEYS[1], 'digest', digest)
  redis.call('PEXPIRE', KEYS[1], keepMs)
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - keepMs)
  redis.call('ZADD', KEYS[2], now, member)
  redis.call('PEXPIRE', KEYS[2], keepMs)
  local excess = redis.call('ZCARD', KEYS[2]) - maxKeys
  if excess > 0 then
    local oldest = redis.call('ZPOPMIN', KEYS[2], excess)
    for i = 1, #oldest, 2 do redis.call('DEL', prefix .. oldest[i]) end
  end
end
redis.call('HSET', KEYS[1], 'owner', owner, 'leasedUntil', now + leaseMs)
if request[3] then return {'begun', request[3]} end
redis.call('HSET', KEYS[1], 'startedAt', startedAt)
return {'begun'}`,
  parseCommand(parser, { request, history }: RedisKeys, args: readonly string[]) {
    parser.pushKey(request);
    parser.pushKey(history);
    parser.push(...args);
  },
  transformReply: (reply: unknown) => reply as [kind: string, detail?: string],
});

/** Replies with 0 where another instance has taken the request over. */
const renew = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: `${IS_OWNER}${NOW}
redis.call('HSET', KEYS[1], 'leasedUntil', now + tonumber(ARGV[2]))
return 1`,
  parseCommand(parser, { request }: RedisKeys, owner: string, leaseMs: number) {
    parser.pushKey(request);
    parser.push(owner, String(leaseMs));
  },
  transformReply: (reply: unknown) => reply,
});

const complete = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: `${IS_OWNER}
redis.call('HSET', KEYS[1], 'outcome', ARGV[2])
return redis.call('HDEL', KEYS[1], 'owner', 'leasedUntil')`,
  parseCommand(parser, { request }: RedisKeys, owner: string, outcome: string) {
    parser.pushKey(request);
    parser.push(owner, outcome);
  },
  transformReply: (reply: unknown) => reply,
});

const giveUp = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: `${IS_OWNER}
if ARGV[2] == 'no' then redis.call('HDEL', KEYS[1], 'startedAt') end
return redis.call('HDEL', KEYS[1], 'owner', 'leasedUntil')`,
  parseCommand(parser, { request }: RedisKeys, owner: string, wasCarriedOut: string) {
    parser.pushKey(request);
    parser.push(owner, wasCarriedOut);
  },
  transformReply: (reply: unknown) => reply,
});

/** What has to happen in one piece, whatever other instances do at the same time. */
export const scripts = { begin, renew, complete, giveUp };
