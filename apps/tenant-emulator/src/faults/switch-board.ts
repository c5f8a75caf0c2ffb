import { z } from 'zod';
import type { Clock } from '../clock.js';
import {
  mergeSwitches,
  type Outage,
  type PartFault,
  type SwitchesPatch,
  switchesPatch,
  TENANT_PARTS,
  type TenantPart,
  type TenantSwitches,
  type TimedOutage,
  timedOutage,
} from '../config/switches.js';
import { zodFaults } from '../config/zod-faults.js';

/** Holds the switches of the tenant. Each change is in force for the next request. */
export class SwitchBoard {
  #switches: TenantSwitches;
  readonly #timedOutages = new Map<TenantPart, { readonly outage: Outage; readonly endsAtMs: number }>();

  /** @param initial How the switches stand at first, and after {@link reset}. */
  constructor(
    private readonly initial: TenantSwitches,
    private readonly clock: Clock,
  ) {
    this.#switches = initial;
  }

  /** What is in force at this moment, timed outages included. */
  get current(): TenantSwitches {
    const faults = { token: this.faultOf('token'), api: this.faultOf('api'), keys: this.faultOf('keys') };
    return { ...this.#switches, faults };
  }

  /**
   * Changes the switches that are named and leaves the others. Naming an outage ends a timed one of the same part.
   *
   * @throws {@link SwitchesError}
   */
  change(patch: SwitchesPatch): TenantSwitches {
    const checked = check(switchesPatch, patch);
    this.#switches = mergeSwitches(this.#switches, checked);
    for (const part of TENANT_PARTS) {
      if (checked.faults?.[part]?.outage !== undefined) this.#timedOutages.delete(part);
    }
    return this.current;
  }

  reset(): TenantSwitches {
    this.#switches = this.initial;
    this.#timedOutages.clear();
    return this.current;
  }

  /**
   * Begins an outage that ends by itself. Requests that it left hanging stay so.
   *
   * @throws {@link SwitchesError}
   */
  startOutage(outage: TimedOutage): { readonly endsAt: Date } {
    const { part, outage: kind, forMs } = check(timedOutage, outage);
    const endsAtMs = this.clock.now() + forMs;
    this.#timedOutages.set(part, { outage: kind, endsAtMs });
    return { endsAt: new Date(endsAtMs) };
  }

  faultOf(part: TenantPart): PartFault {
    const fault = this.#switches.faults[part];
    const timed = this.#timedOutages.get(part);
    return timed && this.clock.now() < timed.endsAtMs ? { ...fault, outage: timed.outage } : fault;
  }
}

function check<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const checked = schema.safeParse(value);
  if (!checked.success) throw new SwitchesError(zodFaults(checked.error));
  return checked.data;
}

/** A change of the switches is wrong. Nothing has been changed. */
export class SwitchesError extends Error {
  override readonly name = 'SwitchesError';

  constructor(
    /** One line per wrong field: its path, and what is wrong with it. */
    readonly faults: readonly string[],
  ) {
    super(`The switches cannot be set like this:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
  }
}
