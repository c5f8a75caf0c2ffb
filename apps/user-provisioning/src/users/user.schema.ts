import { z } from 'zod';

/** Rejects U+FFFD, which replaces a character that a tool could not read, and unpaired surrogates, which become one. */
const whole = <Text extends z.ZodType<string>>(schema: Text) =>
  schema.refine((value) => !/[\uFFFD\p{Cs}]/u.test(value), 'must be text without lost characters (U+FFFD)');

const text = (max: number) => whole(z.string().trim().min(1).max(max));
const phone = z.string().regex(/^\+?[\d\s().-]{3,30}$/, 'must be a phone number');

/** Characters that a login name cannot have: spaces, separators, and those that act on a terminal or on text order. */
const UNFIT = [
  String.raw`\s@/\\"'`,
  // Control characters.
  String.raw`\u0000-\u001f\u007f-\u009f`,
  // Format characters.
  String.raw`\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb`,
  // Private use, and noncharacters.
  String.raw`\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff`,
].join('');

/**
 * One character of a login name. Tools compile the patterns of an OpenAPI document with the flag `u` (as JSON Schema
 * requires) or without it (Swagger UI); this one means the same either way.
 *
 * Beyond U+FFFF, where planes 1 to 13 are accepted, the second alternative matches only with the flag, the third only
 * without it.
 */
const CHARACTER = [
  String.raw`(?![${UNFIT}])[\u0000-\ud7ff\ue000-\uffff]`,
  `(?![\\u{e0000}-\u{10ffff}])[^\\u0000-\\uffff]`,
  String.raw`[\ud800-\udb3f][\udc00-\udfff]`,
].join('|');

/**
 * A login name, with or without a suffix after the @; without one, the tenant's default suffix applies.
 *
 * Not `.` or `..`: in the path of a URL they lead elsewhere, in any encoding.
 */
export const userName = z
  .string()
  .max(256)
  .regex(
    new RegExp(String.raw`^(?!\.{1,2}$)(?:${CHARACTER})+(?:@(?:${CHARACTER})+)?$`, 'u'),
    'must be a login name: user or user@suffix',
  );

const fields = {
  displayName: text(256).describe('Name as people see it'),
  description: text(1024),
  mobileNumber: phone,
  officeNumber: phone,
};

/**
 * An object with these members only. The error does not repeat unknown names: in a misread file one may be a password.
 */
export function strictObject<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const names = Object.keys(shape).join(', ');
  return z.strictObject(shape, {
    error: ({ code }) => (code === 'unrecognized_keys' ? `must only have the members ${names}` : undefined),
  });
}

/** The body of `POST /users`. */
export const newUser = strictObject({
  name: whole(userName).describe('Login name: user, or user@suffix'),
  mail: z.email().max(254),
  displayName: fields.displayName.optional(),
  description: fields.description.optional(),
  mobileNumber: fields.mobileNumber.optional(),
  officeNumber: fields.officeNumber.optional(),
  password: whole(z.string().min(1).max(256)).optional().describe('Default: a random one of the tenant'),
  mustChangePassword: z.boolean().default(true).describe('Whether the first login requires a new password'),
  sendInvitation: z.boolean().default(false).describe('Whether the tenant mails an invitation'),
}).meta({ example: { name: 'mary.major', mail: 'mary.major@example.org', displayName: 'Mary Major' } });

export type NewUser = z.infer<typeof newUser>;

/** The body of `PATCH /users/:name`: at least one field. */
export const userChange = strictObject({ mail: z.email().max(254), ...fields })
  .partial()
  .refine((change) => Object.keys(change).length > 0, 'must have at least one field')
  .meta({ example: { displayName: 'Mary Minor' } });

export type UserChange = z.infer<typeof userChange>;

/** A user in the responses of this service. */
export const user = z.object({
  id: z.string(),
  name: z.string(),
  mail: z.string().nullable(),
  displayName: z.string().nullable(),
  state: z.string().nullable(),
});

export type User = z.infer<typeof user>;
