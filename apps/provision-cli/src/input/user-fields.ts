import { domainToASCII } from 'node:url';
import { distance } from 'fastest-levenshtein';
import { z } from 'zod';

const text = (max: number) => z.string('must be text').trim().min(1, 'must not be blank').max(max, longer(max));
/** In the place of a character, U+FFFD says that a tool could not read it; half of one (a surrogate) will become that. */
const whole = <Text extends z.ZodType<string>>(schema: Text) =>
  schema.refine(
    (value) => !/[\uFFFD\p{Cs}]/u.test(value),
    'has a character that was lost when the text was converted (U+FFFD); write it anew',
  );

const phone = z.string('must be text').regex(/^\+?[\d\s().-]{3,30}$/, 'must be a phone number');
const flag = z.boolean('must be true or false');

function longer(max: number): string {
  return `is longer than ${max} characters`;
}

/**
 * A login name, with or without the suffix behind the @; in Unicode normalization form C, as RFC 8265 §3.3 has it, so
 * that names which look the same are the same.
 *
 * Not `.` or `..`: in the path of a URL those lead elsewhere, however they are encoded.
 */
export const loginName = z
  .string('must be text')
  .normalize('NFC')
  .max(256, longer(256))
  .regex(/^(?!\.{1,2}$)[^\s\p{C}@/\\"']+(?:@[^\s\p{C}@/\\"']+)?$/u, 'must be a login name: user or user@suffix');

/** The service takes ASCII alone, which says the same: a domain has an ASCII form (RFC 5890 §2.3.2.1). */
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
 * Stricter than the service: a control character or a line break in a password is what a mistaken line end leaves, and
 * the user could not type it.
 */
const password = z
  .string('must be text')
  .min(1, 'must not be empty')
  .max(256, longer(256))
  .regex(/^[^\p{Cc}\p{Zl}\p{Zp}\uFEFF]*$/u, 'must have no line break or control character in it');

/**
 * The members of a user, as `POST /users` takes them.
 *
 * The service has the last word. It is asked only about what is worth asking: a line that it would refuse anyway is
 * reported without a call, and `--dry-run` finds it.
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

/** @returns The user, or why it is none. The fault repeats no value and no unknown name: either may be a password. */
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

/** The field that a misspelt name is meant for, such as `e-mail`; undefined for a name that resembles none. */
export function nearestField(name: string): string | undefined {
  const letters = name
    .slice(0, 40)
    .toLowerCase()
    .replace(/[^a-z]/g, '');
  const field = FIELD_NAMES.find((field) => distance(letters, field.toLowerCase()) <= Math.floor(field.length / 4));
  return field;
}

/** The members that are known and are not secret. */
export function withoutPassword(fields: UserFields): Omit<UserFields, 'password'> {
  const { password: _password, ...open } = fields;
  return open;
}
