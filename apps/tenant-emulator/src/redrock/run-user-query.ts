import type { RestRow } from '../rest-api/rest-table.js';
import type { User } from '../directory/user.js';
import { isLike } from './like.js';
import type { UserColumn, UserCondition, UserQuery } from './user-query.js';

/** The users that a query selects. `=` compares exactly and `LIKE` in any case, as in SQLite. */
export function selectUsers({ anyOf }: UserQuery, users: Iterable<User>, directoryUuid: string): User[] {
  const tests = anyOf.map(testOf);
  const selected: User[] = [];
  for (const user of users) {
    if (tests.length === 0 || tests.some((test) => test(user, directoryUuid))) selected.push(user);
  }
  return selected;
}

export function userRow({ columns }: UserQuery, user: User, directoryUuid: string): RestRow {
  return Object.fromEntries(columns.map((column) => [column, valueOf(column, user, directoryUuid)]));
}

function testOf({ column, operator, operand }: UserCondition): (user: User, directoryUuid: string) => boolean {
  if (operator === '=') return (user, directoryUuid) => valueOf(column, user, directoryUuid) === operand;
  return (user, directoryUuid) => {
    const value = valueOf(column, user, directoryUuid);
    return value !== null && isLike(value, operand);
  };
}

function valueOf(column: UserColumn, user: User, directoryUuid: string): string | null {
  switch (column) {
    case 'ID':
      return user.uuid;
    case 'Username':
      return user.name;
    case 'DisplayName':
      return user.displayName;
    case 'Email':
      return user.mail;
    case 'MobileNumber':
      return user.mobileNumber;
    case 'LastLogin':
      return null;
    case 'DirectoryServiceUuid':
      return directoryUuid;
  }
}
