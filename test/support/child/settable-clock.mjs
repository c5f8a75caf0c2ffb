// Loaded by --import: a process whose clock its parent can set, by the message { setClockMs }, the difference to the
// clock of this machine. Timers and the monotonic clock stay as they are, as on a machine whose time is corrected.

const Machine = Date;
let differenceMs = Number(process.env.CLOCK_DIFFERENCE_MS ?? 0);

globalThis.Date = class Date extends Machine {
  constructor(...args) {
    if (args.length > 0) super(...args);
    else super(Machine.now() + differenceMs);
  }

  static now() {
    return Machine.now() + differenceMs;
  }
};

process.on('message', (message) => {
  if (message?.setClockMs === undefined) return;
  differenceMs = message.setClockMs;
  process.send({ type: 'clock-set' });
});
process.channel?.unref();
