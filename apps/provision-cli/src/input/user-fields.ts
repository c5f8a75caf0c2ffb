import { domainToASCII } from 'node:url';
import { distance } from 'fastest-levenshtein';
import { z } from 'zod';

const text = (max: number) => z.string('must be text').trim().min(1, 'must not be blank').max(max, longer(max));
/** Rejects U+FFFD, which tools write for a character that they cannot read, and half of one (a surrogate). */
const whole = <Text extends z.ZodType<string>>(schema: Text) =>
  schema.refine(
    (value) => !/[\uFFFD\p{Cs}]/u.test(value),
    'has a character that was lost in a conversion (U+FFFD); type it again',
  );

const phone = z.string('must be text').regex(/^\+?[\d\s().-]{3,30}$/, 'must be a phone number');
const flag = z.boolean('must be true or false');

function longer(max: number): string {
  return `is longer than ${max} characters`;
}

/**
 * A login name, with or without a suffix after the @. Normalized to Unicode form C (RFC 8265 §3.3), so that names which
 * look the same are equal.
 *
 * Not `.` or `..`: in the path of a URL these lead elsewhere, however they are encoded.
 */
export const loginName = z
  .string('must be text')
  .normalize('NFC')
  .max(256, longer(256))
  .regex(/^(?!\.{1,2}$)[^\s\p{C}@/\\"']+(?:@[^\s\p{C}@/\\"']+)?$/u, 'must be a login name: user or user@suffix');

/** Converts the domain to its ASCII form (RFC 5890 §2.3.2.1), because the service accepts no other. */
const mail = z.preprocess(
  withAsciiDomain,
  z
    .email({
      error: ({ input }) =>
        typeof input === 'string' && /[^\0-\x7F].*@/.test(input)
          ? 'must be a mail address with ASCII characters before the @'
          : 'must be a mail address',
    })
    .max(254, longer(254)),
);

function withAsciiDomain(address: unknown): unknown {
  const [, local, domain] = (typeof address === 'string' && /^([^@]+)@([^@]*[^\0-\x7F@][^@]*)$/.exec(address)) || [];
  return domain === undefined ? address : `${local}@${domainToASCII(domain)}`;
}

/**
 * Stricter than the service: a control character or a line break in a password comes from a mistaken line ending, and
 * the user could not type it.
 */
const password = z
  .string('must be text')
  .min(1, 'must not be empty')
  .max(256, longer(256))
  .regex(/^[^\p{Cc}\p{Zl}\p{Zp}\uFEFF]*$/u, 'must not have a line break or control character in it');

/**
 * The members of a user, as `POST /users` accepts them.
 *
 * The service decides. Lines that it would reject in any case are reported without a call, also by `--dry-run`.
 */
const userFields = z.strictObject({
  name: whole(loginName),
  mail,
  displayName: whole(text(256)).optional(),
  description: whole(text(1024)).optional(),
  mobileNumber: phone.optional(),
  officeNumber: phone.optional(),
  password: whole(password).optional(),
  mustChangePassword: flag.optional(),
  sendInvitation: flag.optional(),
});

export type UserFields = z.infer<typeof userFields>;

export const FIELD_NAMES = Object.keys(userFields.shape) as (keyof UserFields)[];
export const REQUIRED_FIELDS: readonly string[] = ['name', 'mail'] satisfies (keyof UserFields)[];
export const FLAG_NAMES: readonly string[] = ['mustChangePassword', 'sendInvitation'] satisfies (keyof UserFields)[];

export type CheckedUser = { readonly user: UserFields } | { readonly fault: string };

/** Returns the user, or its faults. These repeat no value and no unknown name: either may be a password. */
export function checkUser(fields: unknown): CheckedUser {
  const result = userFields.safeParse(fields);
  if (result.success) return { user: result.data };
  return { fault: result.error.issues.map((issue) => faultOf(issue, fields)).join('; ') };
}

function faultOf({ code, path, message, ...issue }: z.core.$ZodIssue, fields: unknown): string {
  if (code === 'unrecognized_keys') {
    return unknownMembers((issue as Pick<z.core.$ZodIssueUnrecognizedKeys, 'keys'>).keys);
  }
  const member = path.join('.');
  const value = (fields as Readonly<Record<string, unknown>>)[member];
  const isMissing = value === undefined || (value === '' && REQUIRED_FIELDS.includes(member));
  return isMissing ? `${member} is missing` : `${member}: ${message}`;
}

function unknownMembers(names: readonly string[]): string {
  const what = names.length === 1 ? 'a member that is not a field' : `${names.length} members that are not fields`;
  const meant = new Set(names.flatMap((name) => nearestField(name) ?? []));
  return `has ${what} of a user${meant.size > 0 ? ` (did you mean ${[...meant].join(', ')}?)` : ''}`;
}

/** Returns the field that a misspelt name is meant for, such as `e-mail`; undefined for a name that resembles none. */
export function nearestField(name: string): string | undefined {
  const letters = name
    .slice(0, 40)
    .toLowerCase()
    .replace(/[^a-z]/g, '');
  return FIELD_NAMES.find((field) => distance(letters, field.toLowerCase()) <= Math.floor(field.length / 4));
}

/** Returns all members but the password. */
export function withoutPassword(fields: UserFields): Omit<UserFields, 'password'> {
  const { password: _password, ...open } = fields;
  return open;
}
