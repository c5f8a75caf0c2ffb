import { describe, expect, it, test } from '@jest/globals';
import { HttpExchangeError } from '../foundation/bounded-fetch.js';
import { ManualClock } from '../testing/manual-clock.js';
import { type TryProgress, tryProgress, SecondTries, SingleFlight } from './single-flight.js';

const TIMEOUT_MS = 10_000;

/** Work that ends as the test decides. */
function pendingWork() {
  let resolve!: (outcome: string) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<string>((...settle) => ([resolve, reject] = settle));
  const signals: AbortSignal[] = [];
  const work = (signal: AbortSignal) => {
    signals.push(signal);
    return promise;
  };
  return { work, resolve, reject, signals };
}

function setUpFlight() {
  const clock = new ManualClock();
  const finished: string[] = [];
  const errors: unknown[] = [];
  const judged: string[] = [];
  const atFinish: (() => void)[] = [];
  const flight = new SingleFlight<string, string>(clock, {
    isDecisive: (outcome) => {
      judged.push(outcome);
      return outcome.startsWith('decisive');
    },
    outcomeOf: (error) => {
      errors.push(error);
      return `error: ${error instanceof Error ? error.message : String(error)}`;
    },
    finish: (outcome) => {
      finished.push(outcome);
      for (const look of atFinish) look();
      return `result of ${outcome}`;
    },
  });
  const start = (timeoutMs = TIMEOUT_MS) => {
    const work = pendingWork();
    return { ...work, abort: flight.start(work.work, timeoutMs) };
  };
  /** A caller, and what became of it so far. */
  const wait = (maxWaitMs = 60_000, signal?: AbortSignal) => {
    const caller: { result?: string | undefined; error?: unknown; isDone: boolean } = { isDone: false };
    flight.wait(maxWaitMs, signal).then(
      (result) => Object.assign(caller, { result, isDone: true }),
      (error: unknown) => Object.assign(caller, { error, isDone: true }),
    );
    return caller;
  };
  return { clock, flight, finished, errors, judged, atFinish, start, wait };
}

describe('an attempt', () => {
  it('runs from its start to the end of its work', async () => {
    const { clock, flight, finished, start } = setUpFlight();
    expect(flight.isRunning).toBe(false);
    const { resolve, signals, abort } = start();
    expect(flight.isRunning).toBe(true);
    resolve('a');
    await clock.advance(0);
    expect(flight.isRunning).toBe(false);
    expect(finished).toEqual(['a']);
    abort();
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
    expect(clock.pendingTimers).toBe(0);
  });

  it('ends with the outcome of an error of its work', async () => {
    const { clock, errors, finished, start } = setUpFlight();
    const error = new Error('broken');
    start().reject(error);
    await clock.advance(0);
    expect(errors).toEqual([error]);
    expect(finished).toEqual(['error: broken']);
    expect(clock.pendingTimers).toBe(0);
  });

  it('is aborted after its timeout, and what its work ends in afterwards is ignored', async () => {
    const { clock, flight, finished, errors, start } = setUpFlight();
    const { resolve, signals } = start(500);
    await clock.advance(499);
    expect([flight.isRunning, signals[0]?.aborted]).toEqual([true, false]);
    await clock.advance(1);
    expect([flight.isRunning, signals[0]?.aborted]).toEqual([false, true]);
    expect(errors).toEqual([new HttpExchangeError('timeout', 'no token within 500 ms')]);
    expect(errors[0]).toMatchObject({ fault: 'timeout' });
    expect(signals[0]?.reason).toBe(errors[0]);
    resolve('a');
    await clock.advance(0);
    expect(finished).toEqual(['error: no token within 500 ms']);
  });

  it('ends once where its work rejects because it was aborted', async () => {
    const { clock, flight, finished } = setUpFlight();
    flight.start(
      (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
      500,
    );
    await clock.advance(500);
    expect(finished).toEqual(['error: no token within 500 ms']);
  });

  it('that was aborted ends without a result', async () => {
    const { clock, flight, finished, start, wait } = setUpFlight();
    const caller = wait();
    const { abort, resolve, signals } = start();
    abort();
    abort();
    expect(signals[0]?.reason).toEqual(new HttpExchangeError('timeout', 'the attempt was aborted'));
    expect(signals[0]?.reason).toMatchObject({ fault: 'timeout' });
    resolve('a');
    await clock.advance(TIMEOUT_MS);
    expect([flight.isRunning, finished, caller.isDone]).toEqual([false, [], false]);
  });

  it('leaves no timer when it was aborted', () => {
    const { clock, start } = setUpFlight();
    start().abort();
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('an attempt of two requests', () => {
  test.each(['first', 'second'] as const)('ends with the decisive outcome of the %s', async (winner) => {
    const { clock, flight, finished, judged, start } = setUpFlight();
    const tries = { first: start(), second: start() };
    const loser = winner === 'first' ? 'second' : 'first';
    tries[winner].resolve('decisive');
    await clock.advance(0);
    expect(flight.isRunning).toBe(false);
    expect(tries[loser].signals[0]?.reason).toEqual(new HttpExchangeError('timeout', 'the attempt was aborted'));
    expect(tries[winner].signals[0]?.aborted).toBe(false);
    expect(clock.pendingTimers).toBe(0);
    tries[loser].resolve('decisive too late');
    await clock.advance(0);
    expect([finished, judged]).toEqual([['decisive'], ['decisive']]);
  });

  it('continues after an outcome that is not decisive, and ends with that of the other request', async () => {
    const { clock, flight, finished, judged, start } = setUpFlight();
    const [first, second] = [start(), start()];
    first.reject(new Error('broken'));
    await clock.advance(0);
    expect([flight.isRunning, finished, judged]).toEqual([true, [], ['error: broken']]);
    expect(second.signals[0]?.aborted).toBe(false);
    second.resolve('the last one');
    await clock.advance(0);
    expect([flight.isRunning, finished, judged]).toEqual([false, ['the last one'], ['error: broken']]);
  });

  it('has a timeout for each', async () => {
    const { clock, flight, finished, start } = setUpFlight();
    start(500);
    await clock.advance(300);
    start(500);
    await clock.advance(499);
    expect([flight.isRunning, finished]).toEqual([true, []]);
    await clock.advance(1);
    expect([flight.isRunning, finished]).toEqual([false, ['error: no token within 500 ms']]);
  });

  it('continues with the second where the first is aborted in its favour', async () => {
    const { clock, flight, finished, start } = setUpFlight();
    const [first, second] = [start(), start()];
    first.abort();
    expect([first.signals[0]?.aborted, second.signals[0]?.aborted]).toEqual([true, false]);
    first.resolve('decisive');
    await clock.advance(0);
    expect([flight.isRunning, finished]).toEqual([true, []]);
    second.resolve('the only one');
    await clock.advance(0);
    expect([flight.isRunning, finished]).toEqual([false, ['the only one']]);
  });
});

describe('a caller', () => {
  it('shares the result with any number of others', async () => {
    const { clock, finished, start, wait } = setUpFlight();
    const before = wait();
    const { resolve } = start();
    const callers = [before, wait(), wait()];
    await clock.advance(0);
    expect(callers.map(({ isDone }) => isDone)).toEqual([false, false, false]);
    resolve('a');
    await clock.advance(0);
    expect(callers.map(({ result }) => result)).toEqual(['result of a', 'result of a', 'result of a']);
    expect(finished).toEqual(['a']);
    expect(clock.pendingTimers).toBe(0);
  });

  it('waits for the next attempt once one has ended', async () => {
    const { clock, atFinish, start, wait } = setUpFlight();
    const callers: ReturnType<typeof wait>[] = [wait()];
    atFinish.push(() => callers.push(wait()));
    start().resolve('a');
    await clock.advance(0);
    expect(callers.map(({ result }) => result)).toEqual(['result of a', undefined]);
    expect(callers[1]?.isDone).toBe(false);
    atFinish.pop();
    start().resolve('b');
    await clock.advance(0);
    expect(callers[1]?.result).toBe('result of b');
  });

  it('waits for a limited time, and the attempt continues', async () => {
    const { clock, flight, start, wait } = setUpFlight();
    const { resolve, signals } = start();
    const [patient, hasty] = [wait(), wait(300)];
    await clock.advance(299);
    expect(hasty.isDone).toBe(false);
    await clock.advance(1);
    expect([hasty.isDone, hasty.result, hasty.error]).toEqual([true, undefined, undefined]);
    expect([flight.isRunning, signals[0]?.aborted]).toEqual([true, false]);
    resolve('a');
    await clock.advance(0);
    expect(patient.result).toBe('result of a');
  });

  it('may stop waiting, and the attempt continues', async () => {
    const { clock, flight, start, wait } = setUpFlight();
    const { signals } = start();
    const controller = new AbortController();
    const [caller, other] = [wait(60_000, controller.signal), wait()];
    controller.abort('stopped');
    await clock.advance(0);
    expect([caller.error, other.isDone]).toEqual(['stopped', false]);
    expect([flight.isRunning, signals[0]?.aborted]).toEqual([true, false]);
  });

  it('is awaiting the attempt until its own wait or the attempt ends', async () => {
    const { clock, flight, atFinish, start, wait } = setUpFlight();
    const awaited: boolean[] = [];
    const look = () => awaited.push(flight.isAwaited);
    atFinish.push(look);
    look();
    const { resolve } = start();
    look();
    wait(100);
    wait(200);
    look();
    await clock.advance(100);
    look();
    await clock.advance(100);
    look();
    wait();
    look();
    resolve('a');
    await clock.advance(0);
    look();
    expect(awaited).toEqual([false, false, true, true, false, true, false, false]);
  });
});

describe('closing', () => {
  it('aborts every request, and gives its result to waiting callers', async () => {
    const { clock, flight, finished, start, wait } = setUpFlight();
    const tries = [start(), start()];
    const callers = [wait(), wait()];
    flight.close('closed');
    await clock.advance(0);
    expect(callers.map(({ result }) => result)).toEqual(['closed', 'closed']);
    expect(tries.map(({ signals }) => signals[0]?.aborted)).toEqual([true, true]);
    tries[0]?.resolve('decisive');
    await clock.advance(0);
    expect([flight.isRunning, flight.isAwaited, finished, clock.pendingTimers]).toEqual([false, false, [], 0]);
  });

  it('has nothing to do where no caller waits and nothing runs', () => {
    const { flight } = setUpFlight();
    flight.close('closed');
    expect([flight.isRunning, flight.isAwaited]).toEqual([false, false]);
  });
});

const SILENCE_MS = 1000;

/** A clock that also notes the delay of each timer. */
class RecordingClock extends ManualClock {
  readonly delays: number[] = [];

  override setTimer(delayMs: number, callback: () => void): () => void {
    this.delays.push(delayMs);
    return super.setTimer(delayMs, callback);
  }
}

function setUpWatch({ silenceMs = SILENCE_MS } = {}) {
  const clock = new RecordingClock();
  const all = new SecondTries(clock, silenceMs);
  const state = { isNeeded: true };
  const started: string[] = [];
  const watch = all.watch({
    isNeeded: () => state.isNeeded,
    start: (place) => started.push(`${place} at ${clock.now().monotonicMs}`),
  });
  const attempt = (more: Partial<TryProgress> = {}) => {
    const progress = Object.assign(tryProgress(clock.now()), more);
    watch.attemptStarted(progress);
    return progress;
  };
  return { clock, all, state, started, watch, attempt };
}

describe('a second try', () => {
  test.each(['beside', 'instead'] as const)('starts %s the first one, which has no response', async (place) => {
    const { clock, all, started, watch, attempt } = setUpWatch();
    attempt({ second: place });
    watch.watch();
    await clock.advance(SILENCE_MS - 1);
    expect([started, all.end]).toEqual([[], undefined]);
    await clock.advance(1);
    expect(started).toEqual([`${place} at 1000`]);
    expect(all.end).toBeInstanceOf(Promise);
    expect(all.isSpent).toBe(false);
    await clock.advance(10 * SILENCE_MS);
    expect(started).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  test.each([
    { afterMs: 400, startsAt: 1000, delays: [600] },
    { afterMs: 1000, startsAt: 1000, delays: [0] },
    { afterMs: 5000, startsAt: 5000, delays: [0] },
  ])('starts at $startsAt ms where a caller waits after $afterMs ms', async ({ afterMs, startsAt, delays }) => {
    const { clock, started, watch, attempt } = setUpWatch();
    attempt();
    await clock.advance(afterMs);
    watch.watch();
    await clock.advance(10 * SILENCE_MS);
    expect(started).toEqual([`beside at ${startsAt}`]);
    expect(clock.delays).toEqual(delays);
  });

  it('is not due a fraction of a millisecond early', async () => {
    const { clock, started, watch, attempt } = setUpWatch({ silenceMs: 1000 / 3 });
    attempt();
    watch.watch();
    await clock.advance(400);
    expect([started, clock.delays]).toEqual([['beside at 334'], [334]]);
  });

  it('is awaited by one timer, however many callers there are', () => {
    const { clock, watch, attempt } = setUpWatch();
    attempt();
    for (let caller = 0; caller < 3; caller++) watch.watch();
    expect(clock.pendingTimers).toBe(1);
  });

  it('waits from the time at which the first one last had a response or was queued', async () => {
    const { clock, started, watch, attempt } = setUpWatch();
    const first = attempt();
    watch.watch();
    await clock.advance(700);
    first.silentSince = clock.now();
    await clock.advance(300 + 699);
    expect(started).toEqual([]);
    await clock.advance(1);
    expect(started).toEqual(['beside at 1700']);
    expect(clock.delays).toEqual([1000, 700]);
  });

  it('does not start while the first one waits in a queue', async () => {
    const { clock, started, watch, attempt } = setUpWatch();
    const first = attempt({ silentSince: undefined });
    watch.watch();
    await clock.advance(5500);
    expect(started).toEqual([]);
    first.silentSince = clock.now();
    await clock.advance(SILENCE_MS - 1);
    expect(started).toEqual([]);
    await clock.advance(1);
    expect(started).toEqual(['beside at 6500']);
  });

  it('does not start where no caller needs it, and may start for a later caller', async () => {
    const { clock, all, state, started, watch, attempt } = setUpWatch();
    attempt();
    state.isNeeded = false;
    watch.watch();
    await clock.advance(5000);
    expect([started, clock.pendingTimers, all.end]).toEqual([[], 0, undefined]);
    state.isNeeded = true;
    watch.watch();
    await clock.advance(0);
    expect(started).toEqual(['beside at 5000']);
  });

  it('does not start where the first one forbids it, and may start once it allows it', async () => {
    const { clock, all, started, watch, attempt } = setUpWatch();
    const first = attempt({ second: undefined });
    watch.watch();
    await clock.advance(5000);
    expect([started, clock.pendingTimers, all.end]).toEqual([[], 0, undefined]);
    first.second = 'instead';
    watch.watch();
    await clock.advance(0);
    expect(started).toEqual(['instead at 5000']);
  });

  it('does not start after the end of the attempt', async () => {
    const { clock, all, started, watch, attempt } = setUpWatch();
    attempt();
    watch.watch();
    watch.attemptEnded();
    expect(clock.pendingTimers).toBe(0);
    await clock.advance(5000);
    expect([started, all.isSpent]).toEqual([[], false]);
  });

  it('does not start without an attempt', async () => {
    const { clock, started, watch } = setUpWatch();
    watch.watch();
    await clock.advance(5000);
    expect([started, clock.pendingTimers]).toEqual([[], 0]);
  });

  it('is watched for anew in the next attempt', async () => {
    const { clock, started, watch, attempt } = setUpWatch();
    attempt();
    watch.watch();
    await clock.advance(900);
    watch.attemptEnded();
    attempt();
    watch.watch();
    await clock.advance(SILENCE_MS - 1);
    expect(started).toEqual([]);
    await clock.advance(1);
    expect(started).toEqual(['beside at 1900']);
  });

  it('starts no third one', async () => {
    const { clock, started, watch, attempt } = setUpWatch();
    attempt();
    watch.watch();
    await clock.advance(SILENCE_MS);
    watch.watch();
    expect(clock.pendingTimers).toBe(0);
    await clock.advance(5000);
    expect(started).toHaveLength(1);
  });
});

describe('the second tries of a client', () => {
  /** One token with a second try, which has just ended. */
  const setUpSpent = async () => {
    const parts = setUpWatch();
    const { clock, all, watch, attempt } = parts;
    attempt();
    watch.watch();
    await clock.advance(SILENCE_MS);
    watch.attemptEnded();
    expect([all.isSpent, all.end]).toEqual([true, undefined]);
    return parts;
  };

  test.each([
    { tookMs: 0, isSpent: false },
    { tookMs: SILENCE_MS - 1, isSpent: false },
    { tookMs: SILENCE_MS, isSpent: true },
    { tookMs: SILENCE_MS + 1, isSpent: true },
  ])('are spent until the server grants a token promptly: after $tookMs ms $isSpent', async ({ tookMs, isSpent }) => {
    const { clock, all, started, watch, attempt } = await setUpSpent();
    all.granted(tookMs);
    expect(all.isSpent).toBe(isSpent);
    attempt();
    watch.watch();
    expect(clock.pendingTimers).toBe(isSpent ? 0 : 1);
    await clock.advance(SILENCE_MS);
    expect(started).toHaveLength(isSpent ? 1 : 2);
  });

  it('are spent only by an attempt that had one', () => {
    const { all, watch, attempt } = setUpWatch();
    attempt();
    watch.watch();
    watch.attemptEnded();
    expect(all.isSpent).toBe(false);
  });

  it('are spent only once for an attempt', async () => {
    const { all, watch, attempt } = await setUpSpent();
    all.granted(0);
    attempt();
    watch.attemptEnded();
    expect(all.isSpent).toBe(false);
  });

  it('that are spent while a token is watched start none for it', async () => {
    const { clock, all, started, watch, attempt } = setUpWatch();
    attempt();
    watch.watch();
    all.begin();
    all.ended();
    await clock.advance(5000);
    expect(started).toEqual([]);
    all.granted(0);
    watch.watch();
    await clock.advance(0);
    expect(started).toEqual(['beside at 5000']);
  });

  /** One token that waits because another one has a second try. */
  const setUpWaiting = async () => {
    const parts = setUpWatch();
    const { clock, all, started, watch, attempt } = parts;
    attempt();
    watch.watch();
    all.begin();
    await clock.advance(SILENCE_MS);
    expect([started, clock.pendingTimers]).toEqual([[], 0]);
    watch.watch();
    expect(clock.pendingTimers).toBe(0);
    await clock.advance(4000);
    return parts;
  };

  it('are one at a time: the next starts when the one before ends, if the server granted a token promptly', async () => {
    const { clock, all, started } = await setUpWaiting();
    all.ended();
    all.granted(0);
    await clock.advance(0);
    expect(started).toEqual(['beside at 5000']);
    expect(all.end).toBeInstanceOf(Promise);
  });

  it('start no other one where the one before did not help', async () => {
    const { clock, all, started, watch } = await setUpWaiting();
    all.ended();
    await clock.advance(5000);
    expect(started).toEqual([]);
    all.granted(0);
    watch.watch();
    await clock.advance(0);
    expect(started).toEqual(['beside at 10000']);
  });

  test.each([false, true])('start none for an attempt that ended while it waited, next one: %s', async (hasNext) => {
    const { clock, all, started, watch, attempt } = await setUpWaiting();
    watch.attemptEnded();
    if (hasNext) attempt();
    all.ended();
    all.granted(0);
    await clock.advance(5000);
    expect(started).toEqual([]);
  });

  it('end for waiting callers', async () => {
    const { clock, all } = setUpWatch();
    expect(all.end).toBeUndefined();
    all.begin();
    let hasEnded = false;
    void all.end?.then(() => (hasEnded = true));
    await clock.advance(1000);
    expect(hasEnded).toBe(false);
    all.ended();
    await clock.advance(0);
    expect([hasEnded, all.end]).toEqual([true, undefined]);
  });
});

describe('the progress of a request', () => {
  const now = { wallMs: 1, monotonicMs: 2 };

  it('of the first one allows a second one in parallel', () => {
    const progress = tryProgress(now);
    expect(progress).toEqual({
      isSecond: false,
      silentSince: now,
      second: 'beside',
      credentialKey: undefined,
      isSent: false,
      other: undefined,
      abort: expect.any(Function),
      isSuperseded: false,
    });
    expect(progress.abort()).toBeUndefined();
  });

  it('of the second one is linked with the first', () => {
    const first = tryProgress(now);
    const second = tryProgress(now, first);
    expect([second.isSecond, second.other === first, first.other === second]).toEqual([true, true, true]);
  });
});
