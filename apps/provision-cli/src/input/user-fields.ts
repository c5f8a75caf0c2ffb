import { z } from 'zod';

const text = (max: number) => z.string().trim().min(1).max(max);
const phone = z.string().regex(/^\+?[\d\s().-]{3,30}$/, 'must be a phone number');
const flag = z.boolean('must be true or false');

/**
 * A login name, with or without the suffix behind the @.
 *
 * Not `.` or `..`: in the path of a URL those lead elsewhere, however they are encoded.
 */
export const loginName = z
  .string()
  .max(256)
  .regex(/^(?!\.{1,2}$)[^\s\p{C}@/\\"']+(?:@[^\s\p{C}@/\\"']+)?$/u, 'must be a login name: user or user@suffix');

/**
 * The members of a user, as `POST /users` takes them.
 *
 * The service has the last word. It is asked only about what is worth asking: a line that it would refuse anyway is
 * reported without a call, and `--dry-run` finds it.
 */
const userFields = z.strictObject({
  name: loginName,
  mail: z.email('must be a mail address').max(254),
  displayName: text(256).optional(),
  description: text(1024).optional(),
  mobileNumber: phone.optional(),
  officeNumber: phone.optional(),
  password: z.string().min(1).max(256).optional(),
  mustChangePassword: flag.optional(),
  sendInvitation: flag.optional(),
});

export type UserFields = z.infer<typeof userFields>;

export const FIELD_NAMES = Object.keys(userFields.shape) as (keyof UserFields)[];
export const FLAG_NAMES: readonly string[] = ['mustChangePassword', 'sendInvitation'] satisfies (keyof UserFields)[];

export type CheckedUser =
  { readonly user: UserFields } | { readonly fault: string; readonly shown: Partial<UserFields> };

export function checkUser(fields: unknown): CheckedUser {
  const result = userFields.safeParse(fields);
  if (result.success) return { user: result.data };
  const fault = result.error.issues
    .map(({ path, message }) => (path.length > 0 ? `${path.join('.')}: ${message}` : message))
    .join('; ');
  return { fault, shown: withoutPassword(fields) };
}

/**
 * What may be written down of a user: the members that are known and are not secret. By a list of what is right, so that
 * a password under a misspelt name stays out as well.
 */
export function withoutPassword(fields: unknown): Partial<UserFields> {
  if (typeof fields !== 'object' || fields === null) return {};
  const given = fields as Record<string, unknown>;
  const shown = FIELD_NAMES.filter((name) => name !== 'password' && isPlain(given[name]));
  return Object.fromEntries(shown.map((name) => [name, given[name]]));
}

function isPlain(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'boolean';
}
