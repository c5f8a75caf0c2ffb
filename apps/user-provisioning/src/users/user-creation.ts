import { Injectable } from '@nestjs/common';
import { TokenUnavailableError } from 'nestjs-identity-m2m';
import { z } from 'zod';
import { TenantRefusalError, type TenantRefusalKind, TenantUnreachableError } from '../directory/tenant-errors.js';
import { IdempotencyStoreUnavailableError } from '../idempotency/idempotency-errors.js';
import { IdempotencyLedger } from '../idempotency/idempotency-ledger.js';
import type { NewUser, User } from './user.schema.js';
import { made, UserProvisioningService } from './user-provisioning.service.js';

/** RFC 9110 token characters, and no more of them than anybody needs. */
export const IDEMPOTENCY_KEY = /^[\w!#$%&'*+.^`|~-]{1,128}$/;

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
   * @throws What `UserProvisioningService.create` and `IdempotencyLedger.outcomeOf` throw; a refusal for good is thrown
   * to every repetition.
   */
  async once(clientId: string, key: string, newUser: NewUser): Promise<CreatedUser> {
    const { password, ...open } = newUser;
    const { outcome, replayed } = await this.ledger.outcomeOf<Creation>({
      clientId,
      key,
      content: { open, secret: password },
      carryOut: (inDoubtSince) => this.#create(newUser, inDoubtSince),
      isInDoubt,
    });
    const { data: known, error } = creation.safeParse(outcome);
    if (!known) {
      // Carried out anew it could be done twice, and so it is not carried out.
      throw new IdempotencyStoreUnavailableError('What is remembered of this request cannot be read.', {
        cause: error,
      });
    }
    if ('id' in known) return { user: made(newUser, known.id), replayed };
    const { kind, message, errorId } = known.refusal;
    throw new TenantRefusalError(kind, message, errorId);
  }

  async #create(newUser: NewUser, inDoubtSince: number | undefined): Promise<Creation> {
    try {
      const { id } = await this.provisioning.create(newUser, inDoubtSince);
      return { id };
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
  return !(error instanceof TenantRefusalError || error instanceof TokenUnavailableError);
}
