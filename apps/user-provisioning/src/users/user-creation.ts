import { Injectable } from '@nestjs/common';
import { TokenUnavailableError } from 'nestjs-identity-m2m';
import { z } from 'zod';
import { TenantRefusalError, type TenantRefusalKind, TenantUnreachableError } from '../directory/tenant-answer.js';
import { IdempotencyLedger } from '../idempotency/idempotency-ledger.js';
import { IdempotencyStoreUnavailableError } from '../idempotency/idempotency-store.js';
import { ANY_TIME, RequestTimeError, type RequestTiming } from './request-timing.js';
import type { NewUser, User } from './user.schema.js';
import { type CreationOptions, UserProvisioningService } from './user-provisioning.service.js';

/** Token characters (RFC 9110), up to a length that suffices for clients. */
export const IDEMPOTENCY_KEY = /^[\w!#$%&'*+.^`|~-]{1,128}$/;

/**
 * Returns the key in an `Idempotency-Key` header: bare, or in quotes as a string of a structured field (RFC 9651
 * §3.3.3). Both are the same key. Returns undefined if it is neither.
 */
export function idempotencyKeyIn(header: string): string | undefined {
  const key = /^"(.*)"$/.exec(header)?.[1] ?? header;
  return IDEMPOTENCY_KEY.test(key) ? key : undefined;
}

/** Refusals that a repetition would meet again; any other refusal may be temporary. */
const FINAL_REFUSALS: readonly TenantRefusalKind[] = ['duplicate', 'weak_password', 'invalid'];

/** The stored outcome. The rest of the answer is in the request, which is the same for a repetition. */
const creation = z.union([
  z.strictObject({ id: z.string() }),
  z.strictObject({
    refusal: z.strictObject({ kind: z.enum(FINAL_REFUSALS), message: z.string(), errorId: z.string().optional() }),
  }),
]);

type Creation = z.infer<typeof creation>;

export interface CreatedUser {
  readonly user: User;
  /** Whether an earlier request with the same key created the user. */
  readonly replayed: boolean;
}

/** Creates each user once, whatever the number of requests with the same key. */
@Injectable()
export class UserCreation {
  constructor(
    private readonly provisioning: UserProvisioningService,
    private readonly ledger: IdempotencyLedger,
  ) {}

  /**
   * @param key Matches {@link IDEMPOTENCY_KEY}.
   * @throws The errors of `UserProvisioningService.create`, `IdempotencyLedger.outcomeOf` and `RequestTiming.check`; every
   * repetition gets a final refusal again.
   */
  async once(clientId: string, key: string, newUser: NewUser, timing = ANY_TIME): Promise<CreatedUser> {
    const { password, ...open } = newUser;
    const { outcome, replayed } = await this.ledger.outcomeOf<Creation>({
      clientId,
      key,
      content: { open, secret: password },
      startedAt: this.provisioning.now(),
      execute: (inDoubtSince, confirm) =>
        this.#create(newUser, {
          inDoubtSince,
          confirm: async () => {
            await confirm();
            timing.check(this.provisioning.now());
          },
        }),
      isInDoubt,
    });
    const { data: known, error } = creation.safeParse(outcome);
    if (!known) {
      // Not carried out again: that could create the user twice.
      throw new IdempotencyStoreUnavailableError('The stored outcome of this request cannot be read.', {
        cause: error,
        hint: 'An outcome in the store of requests is not in the form of this version. Let no other version use the same store.',
      });
    }
    if ('id' in known) return { user: await this.provisioning.viewOfCreated(newUser, known.id), replayed };
    const { kind, message, errorId } = known.refusal;
    throw new TenantRefusalError(kind, message, errorId);
  }

  /** Creates a user without a key: a repetition is refused as a duplicate. */
  async unkeyed(newUser: NewUser, timing: RequestTiming): Promise<User> {
    const confirm = async () => timing.check(this.provisioning.now());
    return this.provisioning.viewOfCreated(newUser, await this.provisioning.create(newUser, { confirm }));
  }

  async #create(newUser: NewUser, options: CreationOptions): Promise<Creation> {
    try {
      return { id: await this.provisioning.create(newUser, options) };
    } catch (error) {
      if (!isFinalRefusal(error)) throw error;
      const { kind, message, errorId } = error;
      return { refusal: { kind, message, errorId } };
    }
  }
}

export function isFinalRefusal(error: unknown): error is TenantRefusalError {
  return error instanceof TenantRefusalError && FINAL_REFUSALS.includes(error.kind);
}

/** Only errors that are known to have prevented the call leave no doubt. */
function isInDoubt(error: unknown): boolean {
  if (error instanceof TenantUnreachableError) return error.outcomeUnknown;
  return !(
    error instanceof TenantRefusalError ||
    error instanceof TokenUnavailableError ||
    error instanceof RequestTimeError
  );
}
