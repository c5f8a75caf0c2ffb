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

/** Holds the switches of the tenant. A change applies from the next request on. */
export class SwitchBoard {
  #switches: TenantSwitches;
  readonly #timedOutages = new Map<TenantPart, { readonly outage: Outage; readonly endsAtMs: number }>();

  /** @param initial The switches at start and after {@link reset}. */
  constructor(
    private readonly initial: TenantSwitches,
    private readonly clock: Clock,
  ) {
    this.#switches = initial;
  }

  /** The switches in force, timed outages included. */
  get current(): TenantSwitches {
    const faults = { token: this.faultOf('token'), api: this.faultOf('api'), keys: this.faultOf('keys') };
    return { ...this.#switches, faults };
  }

  /**
   * Changes the switches in the patch only. An outage in the patch ends a timed outage of the same part.
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
   * Starts an outage that ends after a time. Requests that hang then go on hanging.
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

/** A patch of the switches is invalid. No switch was changed. */
export class SwitchesError extends Error {
  override readonly name = 'SwitchesError';

  constructor(
    /** One line per invalid field: its path and the fault. */
    readonly faults: readonly string[],
  ) {
    super(`Invalid switches:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
  }
}
