import { ApiFailure } from '../rest-api/api-failure.js';

/** The columns of the table User that the emulator has. */
export const USER_COLUMNS = [
  'ID',
  'Username',
  'DisplayName',
  'Email',
  'MobileNumber',
  'LastLogin',
  'DirectoryServiceUuid',
] as const;

export type UserColumn = (typeof USER_COLUMNS)[number];

/** A query for users. */
export interface UserQuery {
  readonly columns: readonly UserColumn[];
  /** One of them must hold; none at all takes every user. */
  readonly anyOf: readonly UserCondition[];
}

export interface UserCondition {
  readonly column: UserColumn;
  readonly operator: '=' | 'like';
  readonly operand: string;
}

const MAX_SCRIPT_LENGTH = 10_000;

/**
 * Reads the SQL that the emulator understands: `SELECT <columns or *> FROM User`, then perhaps `WHERE` and conditions
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

// No two parts of it can take the same blanks, which would make a long run of them take for ever.
const STATEMENT = /^select\s+(\*|\w+(?:\s*,\s*\w+)*)\s+from\s+"?user"?(?:\s+where\s+(\S.*?))?\s*;?$/is;

const CANNOT_RUN =
  'The emulator cannot run this script. It knows: SELECT <columns or *> FROM User, with an optional WHERE of ' +
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
