import { createHash } from 'node:crypto';
import { secretDigest, type User } from './user.js';

/** The users of the tenant, in memory. Finds them by UUID and by login name, ignoring case. */
export class UserDirectory {
  readonly #byUuid = new Map<string, User>();
  readonly #byName = new Map<string, User>();

  /**
   * @param aliasSuffix Suffix added to names without one.
   * @param maxUsers Maximum number of users.
   */
  constructor(
    readonly aliasSuffix: string,
    readonly maxUsers: number,
  ) {}

  get size(): number {
    return this.#byUuid.size;
  }

  /** Returns the users in order of creation. */
  all(): Iterable<User> {
    return this.#byUuid.values();
  }

  byUuid(uuid: string): User | undefined {
    return this.#byUuid.get(uuid.toLowerCase());
  }

  byName(name: string): User | undefined {
    return this.#byName.get(this.fullName(name));
  }

  /** Returns a name as stored: with a suffix, in lower case. */
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

  /** Renames a user; the name must be unused. */
  rename(user: User, name: string): void {
    this.#byName.delete(user.name);
    user.name = name;
    this.#byName.set(name, user);
  }

  /** Sets a password (the client secret of a service user) without checking rules. Its sessions stay active. */
  setPassword(name: string, password: string): void {
    const user = this.byName(name);
    if (!user) throw new Error(`Unknown user ${this.fullName(name)}.`);
    user.passwordDigest = secretDigest(password);
  }
}

/** Derives a UUID (RFC 9562, version 8) from a name, so that it stays the same across restarts. */
export function stableUuid(name: string): string {
  const bytes = createHash('sha256').update(name).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
