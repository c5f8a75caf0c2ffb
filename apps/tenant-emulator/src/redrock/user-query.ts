import type { User } from '../directory/user.js';
import { ApiFailure } from '../rest-api/api-failure.js';
import type { RestRow } from '../rest-api/rest-table.js';

/** The supported columns of the table User. */
const USER_COLUMNS = [
  'ID',
  'Username',
  'DisplayName',
  'Email',
  'MobileNumber',
  'LastLogin',
  'DirectoryServiceUuid',
] as const;

type UserColumn = (typeof USER_COLUMNS)[number];

/** A query for users. */
export interface UserQuery {
  readonly columns: readonly UserColumn[];
  /** Conditions linked by OR. An empty list selects every user. */
  readonly anyOf: readonly UserCondition[];
}

interface UserCondition {
  readonly column: UserColumn;
  readonly operator: '=' | 'like';
  readonly operand: string;
}

const MAX_SCRIPT_LENGTH = 10_000;

/**
 * Parses the supported SQL: `SELECT <columns or *> FROM User`, optionally with `WHERE` and conditions
 * `<column> = '<text>'` or `<column> LIKE '<pattern>'`, linked by `OR`.
 *
 * @throws {@link ApiFailure} on anything else.
 */
export function parseUserQuery(script: string): UserQuery {
  const statement = script.length <= MAX_SCRIPT_LENGTH ? STATEMENT.exec(script.trim()) : null;
  const columns = statement?.[1] === undefined ? undefined : parseColumns(statement[1]);
  const anyOf = statement?.[2] === undefined ? [] : parseConditions(statement[2]);
  if (!columns || !anyOf) throw new ApiFailure(null, CANNOT_RUN);
  return { columns, anyOf };
}

// No two parts match the same spaces, so a long run of spaces causes no backtracking.
const STATEMENT = /^select\s+(\*|\w+(?:\s*,\s*\w+)*)\s+from\s+"?user"?(?:\s+where\s+(\S.*?))?\s*;?$/is;

const CANNOT_RUN =
  'The emulator cannot run this script. It supports: SELECT <columns or *> FROM User, with an optional WHERE of ' +
  `<column> = '<text>' or <column> LIKE '<pattern>', linked by OR. Columns: ${USER_COLUMNS.join(', ')}.`;

function parseColumns(text: string): readonly UserColumn[] | undefined {
  if (text === '*') return USER_COLUMNS;
  const columns = text.split(',').map((name) => columnNamed(name.trim()));
  return columns.every((column) => column !== undefined) ? columns : undefined;
}

function parseConditions(text: string): UserCondition[] | undefined {
  const match = CONDITION.exec(text);
  const column = columnNamed(match?.[1] ?? '');
  if (!match || !column) return undefined;
  const operator = match[2] === '=' ? '=' : 'like';
  const condition: UserCondition = { column, operator, operand: (match[3] ?? '').replaceAll("''", "'") };
  const rest = text.slice(match[0].length);
  if (rest === '') return [condition];
  const or = /^\s+or\s+/i.exec(rest);
  const others = or ? parseConditions(rest.slice(or[0].length)) : undefined;
  return others && [condition, ...others];
}

const CONDITION = /^(\w+)\s*(=|like\b)\s*'((?:[^']|'')*)'/i;

function columnNamed(name: string): UserColumn | undefined {
  return USER_COLUMNS.find((column) => column.toLowerCase() === name.toLowerCase());
}

/** Returns the users that a query selects. `=` is case-sensitive and `LIKE` is not, as in SQLite. */
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

/**
 * Matches a string with a pattern of SQL, ignoring case: `%` stands for any number of characters, `_` for one.
 *
 * Backtracks to the last `%` only. That is enough, because the last `%` can match everything that an earlier one can.
 * So the time is bounded by the product of the two lengths, unlike that of a regular expression.
 */
export function isLike(text: string, pattern: string): boolean {
  const [characters, wanted] = [Array.from(text.toLowerCase()), Array.from(pattern.toLowerCase())];
  let at = 0;
  let next = 0;
  let afterPercent: { readonly next: number; readonly at: number } | undefined;
  while (at < characters.length) {
    if (wanted[next] === '%') {
      next++;
      afterPercent = { next, at };
    } else if (next < wanted.length && (wanted[next] === '_' || wanted[next] === characters[at])) {
      next++;
      at++;
    } else if (afterPercent) {
      afterPercent = { ...afterPercent, at: afterPercent.at + 1 };
      ({ next, at } = afterPercent);
    } else return false;
  }
  return wanted.slice(next).every((character) => character === '%');
}
