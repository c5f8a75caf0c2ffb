import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { Clock } from '../clock.js';
import { ApiFailure } from '../rest-api/api-failure.js';
import type { RestFields } from '../rest-api/rest-body.js';
import { IssuedTokens } from '../tokens/issued-tokens.js';
import { UserDirectory } from './user-directory.js';
import { changedProfile, type NewUser, newUserOf, requireComplexPassword, userStateOf } from './user-fields.js';
import { matchesDigest, secretDigest, type User } from './user.js';

/** Creates and changes users. Throws {@link ApiFailure} before any change. */
@Injectable()
export class UserAdministration {
  constructor(
    private readonly directory: UserDirectory,
    private readonly tokens: IssuedTokens,
    private readonly clock: Clock,
  ) {}

  create(fields: RestFields): User {
    return this.#add(this.#checked(fields));
  }

  /** Creates all or none. The vendor does not document whether a fault in the list stops the others. */
  createMany(list: readonly RestFields[]): User[] {
    const newUsers = list.map((fields) => this.#checked(fields));
    const names = new Set<string>();
    for (const { profile } of newUsers) {
      if (names.has(profile.name)) throw ApiFailure.nameInUse(profile.name);
      names.add(profile.name);
    }
    this.#requireRoomFor(newUsers.length);
    return newUsers.map((newUser) => this.#add(newUser));
  }

  change(user: User, fields: RestFields): void {
    const { name, ...rest } = changedProfile(user, fields, (name) => this.directory.fullName(name));
    if (name !== user.name) this.#requireFree(name);
    const password = fields.text('Password');
    if (password !== undefined) this.#requireNewPassword(user, password);

    if (name !== user.name || password !== undefined || !rest.oauthClient) this.#endSessions(user);
    if (name !== user.name) this.directory.rename(user, name);
    Object.assign(user, rest);
    if (password !== undefined) {
      user.passwordDigest = secretDigest(password);
      user.passwordChangedAt = this.clock.now();
    }
    this.#touch(user);
  }

  setState(user: User, state: string): void {
    user.state = userStateOf(state);
    if (user.state !== 'None') this.#endSessions(user);
    this.#touch(user);
  }

  remove(user: User): void {
    this.directory.remove(user);
    this.#endSessions(user);
  }

  #checked(fields: RestFields): NewUser {
    const newUser = newUserOf(fields, (name) => this.directory.fullName(name));
    this.#requireFree(newUser.profile.name);
    this.#requireRoomFor(1);
    return newUser;
  }

  #add({ profile, password, sendsMail, sendsSms }: NewUser): User {
    const now = this.clock.now();
    const user: User = {
      ...profile,
      uuid: randomUUID(),
      state: 'None',
      passwordDigest: password === undefined ? undefined : secretDigest(password),
      createdAt: now,
      modifiedAt: now,
      passwordChangedAt: now,
      version: 1,
      mailInvitations: sendsMail ? 1 : 0,
      smsInvitations: sendsSms ? 1 : 0,
    };
    this.directory.add(user);
    return user;
  }

  #requireFree(name: string): void {
    if (this.directory.byName(name)) throw ApiFailure.nameInUse(name);
  }

  #requireRoomFor(count: number): void {
    const { size, maxUsers } = this.directory;
    if (size + count <= maxUsers) return;
    throw new ApiFailure(null, `The emulator keeps at most ${maxUsers} users (limits.users in its configuration).`);
  }

  #requireNewPassword(user: User, password: string): void {
    requireComplexPassword(password);
    if (matchesDigest(password, user.passwordDigest)) {
      throw new ApiFailure('_I18N_SetPasswordFailedNewSameAsOld', 'The new password is the same as the old one.');
    }
  }

  /** The vendor does not document whether a change of a client ends its sessions; a tenant may end them at any time. */
  #endSessions({ name, oauthClient }: User): void {
    if (oauthClient) this.tokens.revokeSessions({ client: name });
  }

  #touch(user: User): void {
    user.modifiedAt = this.clock.now();
    user.version++;
  }
}
