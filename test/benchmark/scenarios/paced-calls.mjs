/**
 * Makes calls at a steady rate, whatever becomes of them, and alternately the same calls of a control client.
 *
 * A call's latency counts from when it was due, so that time spent waiting for a busy client counts too.
 */
export async function pacedCalls({ client, control, perSecond, seconds }) {
  const results = { latencies: [], controlLatencies: [], failed: 0, rejected: 0 };
  const inFlight = new Set();
  const begin = performance.now();
  const gapMs = 1000 / perSecond;
  const start = (target, dueAt, latencies) => {
    const call = target
      .get('/things')
      .then(
        (status) => {
          if (target !== client) return;
          if (status === 401) results.rejected += 1;
          if (status !== 200) results.failed += 1;
        },
        () => {
          if (target === client) results.failed += 1;
        },
      )
      .then(() => {
        latencies.push(performance.now() - dueAt);
        inFlight.delete(call);
      });
    inFlight.add(call);
  };
  for (let i = 0; i < perSecond * seconds; i += 1) {
    const dueAt = begin + i * gapMs;
    const waitMs = dueAt - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    start(client, dueAt, results.latencies);
    if (control) start(control, dueAt + gapMs / 2, results.controlLatencies);
  }
  await Promise.race([Promise.all(inFlight), new Promise((resolve) => setTimeout(resolve, 5000))]);
  return { ...results, unfinished: inFlight.size };
}

export function percentile(values, fraction) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))];
}
