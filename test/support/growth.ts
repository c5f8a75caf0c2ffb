/**
 * How many times the CPU time of one piece of work another one takes, whose input is eight times as long: about 8 where
 * time grows as the input does, about 64 where it grows with the square.
 *
 * Other processes do not count, since it is time of this process, and its least-disturbed round, that is compared.
 */
export function growth(short: () => unknown, long: () => unknown): number {
  let [leastOfShort, leastOfLong] = [Infinity, Infinity];
  // Rounds in turn, so that both meet the same state of the machine and of the compiler.
  for (let round = 0; round < ROUNDS; round++) {
    leastOfShort = Math.min(leastOfShort, cpuTimeOf(short));
    leastOfLong = Math.min(leastOfLong, cpuTimeOf(long));
  }
  return leastOfLong / leastOfShort;
}

/** What no linear work reaches, and all quadratic work surpasses. */
export const TOO_STEEP = 24;

const ROUNDS = 15;
const TIMES = 40;

/** In microseconds. */
function cpuTimeOf(work: () => unknown): number {
  const before = process.cpuUsage();
  for (let times = 0; times < TIMES; times++) work();
  const { user, system } = process.cpuUsage(before);
  return Math.max(user + system, 1);
}
