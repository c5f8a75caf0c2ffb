import { Injectable } from '@nestjs/common';
import { TokenUnavailableError } from 'nestjs-identity-m2m';
import { z } from 'zod';
import { TenantRefusalError, type TenantRefusalKind, TenantUnreachableError } from '../directory/tenant-errors.js';
import { IdempotencyStoreUnavailableError } from '../idempotency/idempotency-errors.js';
import { IdempotencyLedger } from '../idempotency/idempotency-ledger.js';
import type { NewUser, User } from './user.schema.js';
import { ANY_TIME, RequestTimeError, type RequestTiming } from './request-timing.js';
import { type CreationOptions, UserProvisioningService } from './user-provisioning.service.js';

/** RFC 9110 token characters, and no more of them than a client needs. */
export const IDEMPOTENCY_KEY = /^[\w!#$%&'*+.^`|~-]{1,128}$/;

/**
 * The key in an `Idempotency-Key` header: bare, or in quotes as a string of a structured field (RFC 9651 §3.3.3), which
 * is the same key. Undefined where it is neither.
 */
export function idempotencyKeyIn(header: string): string | undefined {
  const key = /^"(.*)"$/.exec(header)?.[1] ?? header;
  return IDEMPOTENCY_KEY.test(key) ? key : undefined;
}

/** Refusals that the same request would meet again; what the tenant says otherwise may pass. */
const FINAL_REFUSALS: readonly TenantRefusalKind[] = ['duplicate', 'weak_password', 'invalid'];

/** What is remembered of a user who was asked for. The rest of the answer is in the request, which is the same. */
const creation = z.union([
  z.strictObject({ id: z.string() }),
  z.strictObject({
    refusal: z.strictObject({ kind: z.enum(FINAL_REFUSALS), message: z.string(), errorId: z.string().optional() }),
  }),
]);

type Creation = z.infer<typeof creation>;

export interface CreatedUser {
  readonly user: User;
  /** Whether the user was made for an earlier request with the same key. */
  readonly replayed: boolean;
}

/** Makes each user once, however often a client asks for it with the same key. */
@Injectable()
export class UserCreation {
  constructor(
    private readonly provisioning: UserProvisioningService,
    private readonly ledger: IdempotencyLedger,
  ) {}

  /**
   * @param key Matches {@link IDEMPOTENCY_KEY}.
   * @throws What `UserProvisioningService.create`, `IdempotencyLedger.outcomeOf` and `RequestTiming.check` throw; a refusal
   * for good is thrown to every repetition.
   */
  async once(clientId: string, key: string, newUser: NewUser, timing = ANY_TIME): Promise<CreatedUser> {
    const { password, ...open } = newUser;
    const { outcome, replayed } = await this.ledger.outcomeOf<Creation>({
      clientId,
      key,
      content: { open, secret: password },
      startedAt: this.provisioning.now(),
      carryOut: (inDoubtSince, confirm) =>
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
      // Carried out anew it could be done twice, and so it is not carried out.
      throw new IdempotencyStoreUnavailableError('What is remembered of this request cannot be read.', {
        cause: error,
        hint: 'An outcome in the store of requests has another form than this version writes. See that no other version uses the same store.',
      });
    }
    if ('id' in known) return { user: await this.provisioning.made(newUser, known.id), replayed };
    const { kind, message, errorId } = known.refusal;
    throw new TenantRefusalError(kind, message, errorId);
  }

  /** Without a key: sent again, the same request is refused as a duplicate. */
  async unkeyed(newUser: NewUser, timing: RequestTiming): Promise<User> {
    const confirm = async () => timing.check(this.provisioning.now());
    return this.provisioning.made(newUser, await this.provisioning.create(newUser, { confirm }));
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

/** Only what is known to have stopped the call leaves no doubt. */
function isInDoubt(error: unknown): boolean {
  if (error instanceof TenantUnreachableError) return error.outcomeUnknown;
  return !(
    error instanceof TenantRefusalError ||
    error instanceof TokenUnavailableError ||
    error instanceof RequestTimeError
  );
}
