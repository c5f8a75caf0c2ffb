import { HttpService } from '@nestjs/axios';
import { Injectable } from '@nestjs/common';
import { firstValueFrom, type Observable } from 'rxjs';
import type { AxiosResponse } from 'axios';
import { z } from 'zod';
import type { UserFields } from '../input/user-fields.js';
import { type Mask, maskOf } from '../output/mask.js';
import { errorOfFailure } from './failed-call.js';
import { UnsuitableServiceError } from './service-errors.js';

const user = z.object({
  id: z.string(),
  name: z.string(),
  mail: z.string().nullable(),
  displayName: z.string().nullable(),
  state: z.string().nullable(),
});

/** A user as the service shows it. */
export type User = z.infer<typeof user>;

/**
 * The service, one user at a time. The token is on the calls already.
 *
 * Every method throws NotAuthorisedError, ServiceUnreachableError, ServiceRefusalError or UnsuitableServiceError.
 */
@Injectable()
export class UserService {
  constructor(private readonly http: HttpService) {}

  /** @param key Makes it safe to call this again with the same user. */
  async create(fields: UserFields, key: string): Promise<User> {
    const call = this.http.post('/users', fields, { headers: { 'idempotency-key': key } });
    return userOf(await answerTo(call, maskOf([{ password: fields.password }])));
  }

  async get(name: string): Promise<User> {
    return userOf(await answerTo(this.http.get(pathOf(name))));
  }

  async delete(name: string): Promise<void> {
    await answerTo(this.http.delete(pathOf(name)));
  }
}

function pathOf(name: string): string {
  return `/users/${encodeURIComponent(name)}`;
}

async function answerTo(call: Observable<AxiosResponse<unknown>>, mask?: Mask): Promise<unknown> {
  try {
    return (await firstValueFrom(call)).data;
  } catch (error) {
    throw errorOfFailure(error, mask);
  }
}

function userOf(data: unknown): User {
  const result = user.safeParse(data);
  if (result.success) return result.data;
  throw new UnsuitableServiceError('The service answers with something that is no user. Check its address.');
}
