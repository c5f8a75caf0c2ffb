import { createHash } from 'node:crypto';
import { secretDigest, type User } from './user.js';

/** The users of the tenant, in memory. Finds them by UUID and by login name, whatever the case. */
export class UserDirectory {
  readonly #byUuid = new Map<string, User>();
  readonly #byName = new Map<string, User>();

  /**
   * @param aliasSuffix Is given to a name that has no suffix.
   * @param maxUsers Most users that are kept.
   */
  constructor(
    readonly aliasSuffix: string,
    readonly maxUsers: number,
  ) {}

  get size(): number {
    return this.#byUuid.size;
  }

  /** In the order in which they were created. */
  all(): Iterable<User> {
    return this.#byUuid.values();
  }

  byUuid(uuid: string): User | undefined {
    return this.#byUuid.get(uuid.toLowerCase());
  }

  byName(name: string): User | undefined {
    return this.#byName.get(this.fullName(name));
  }

  /** The name as it is stored: with a suffix, in lower case. */
  fullName(name: string): string {
    return (name.includes('@') ? name : `${name}@${this.aliasSuffix}`).toLowerCase();
  }

  add(user: User): void {
    this.#byUuid.set(user.uuid, user);
    this.#byName.set(user.name, user);
  }

  remove(user: User): void {
    this.#byUuid.delete(user.uuid);
    this.#byName.delete(user.name);
  }

  /** Gives a user another name, which must be free. */
  rename(user: User, name: string): void {
    this.#byName.delete(user.name);
    user.name = name;
    this.#byName.set(name, user);
  }

  /** Changes a password without any rule. Of a service user, that is the client secret. Its sessions go on. */
  setPassword(name: string, password: string): void {
    const user = this.byName(name);
    if (!user) throw new Error(`There is no user ${this.fullName(name)}.`);
    user.passwordDigest = secretDigest(password);
  }
}

/** A UUID that is always the same for the same name (as RFC 9562 version 8), so that restarts do not change it. */
export function stableUuid(name: string): string {
  const bytes = createHash('sha256').update(name).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
