import { z } from 'zod';

/** Names the event at its sender; whoever sends it again sends the same one. */
const id = z.string().regex(/^[\w.-]{1,128}$/, 'must be 1 to 128 letters, digits, ".", "-" and "_"');

/**
 * The service has a closer look at names and addresses; here it is about what the event needs. `.` and `..` would never
 * get there: in the path of a URL they lead elsewhere, however they are encoded.
 */
const name = z
  .string()
  .max(256)
  .regex(
    /^(?!\.{1,2}$)[^\p{C}\p{Zl}\p{Zp}]+$/u,
    'must be 1 to 256 characters that can be printed, and not "." or ".."',
  );

/**
 * When the message was sent, and until when it is good, by the clock of the tenant as far as the sender knows it. A message
 * that is held up, and overtaken by what its sender sends next, changes nothing. One without a time counts as sent when
 * it is dealt with.
 */
const time = z.iso.datetime({ offset: true }).optional();

/** Somebody joins: a user is to be made. */
export const joiner = z.strictObject({
  id,
  time,
  expires: time,
  user: z.strictObject({
    name,
    mail: z.string().min(1).max(254),
    displayName: z.string().min(1).max(256).optional(),
  }),
});

/** Somebody leaves: the user is to be deleted. */
export const leaver = z.strictObject({ id, time, expires: time, user: z.strictObject({ name }) });

export type Joiner = z.infer<typeof joiner>;
export type Leaver = z.infer<typeof leaver>;

/**
 * What becomes of an event, and so the end of it: the sender may forget it.
 *
 * An event that could not be dealt with now gets an error instead, and stays the sender's.
 */
export type EventAnswer =
  | { readonly outcome: 'done'; readonly detail: string }
  /** It can never succeed as it is. */
  | { readonly outcome: 'refused'; readonly detail: string };
