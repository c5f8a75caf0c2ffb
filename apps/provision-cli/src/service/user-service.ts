import { HttpService } from '@nestjs/axios';
import { Injectable } from '@nestjs/common';
import { firstValueFrom, type Observable } from 'rxjs';
import type { AxiosResponse } from 'axios';
import { z } from 'zod';
import { UnsuitableServiceError } from '../errors.js';
import type { UserFields } from '../input/user-fields.js';
import { type Mask, maskOf } from '../output/safe-text.js';
import { errorOfFailure } from './failed-call.js';

const user = z.object({
  id: z.string(),
  name: z.string(),
  mail: z.string().nullable(),
  displayName: z.string().nullable(),
  state: z.string().nullable(),
});

/** A user, as the service returns it. */
export type User = z.infer<typeof user>;

/**
 * The service for one user at a time. The HttpService adds the token.
 *
 * Every method throws NotAuthorisedError, ServiceUnreachableError, ServiceRefusalError or UnsuitableServiceError.
 */
@Injectable()
export class UserService {
  constructor(private readonly http: HttpService) {}

  /** @param key Idempotency key, which makes it safe to repeat the call. */
  async create(fields: UserFields, key: string): Promise<User> {
    const call = this.http.post('/users', fields, { headers: { 'idempotency-key': key } });
    return userOf(await responseTo(call, maskOf([{ password: fields.password }])));
  }

  async get(name: string): Promise<User> {
    return userOf(await responseTo(this.http.get(pathOf(name))));
  }

  async delete(name: string): Promise<void> {
    await responseTo(this.http.delete(pathOf(name)));
  }
}

function pathOf(name: string): string {
  return `/users/${encodeURIComponent(name)}`;
}

async function responseTo(call: Observable<AxiosResponse<unknown>>, mask?: Mask): Promise<unknown> {
  try {
    return (await firstValueFrom(call)).data;
  } catch (error) {
    throw errorOfFailure(error, mask);
  }
}

function userOf(data: unknown): User {
  const result = user.safeParse(data);
  if (result.success) return result.data;
  throw new UnsuitableServiceError(
    'The response is not a user: this is not the user-provisioning service. Check its address.',
  );
}
