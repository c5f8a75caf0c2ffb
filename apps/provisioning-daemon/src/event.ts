import { z } from 'zod';

/** Identifies the event at its sender; a repetition has the same id. */
const id = z.string().regex(/^[\w.-]{1,128}$/, 'must be 1 to 128 letters, digits, ".", "-" and "_"');

/**
 * The service validates names and addresses; these are the minimum for an event. `.` and `..` cannot reach the service:
 * in the path of a URL they lead elsewhere, in any encoding.
 */
const name = z
  .string()
  .max(256)
  .regex(
    /^(?!\.{1,2}$)[^\p{C}\p{Zl}\p{Zp}]+$/u,
    'must be 1 to 256 characters that can be printed, and not "." or ".."',
  );

/**
 * When the message was sent, and when it expires, by the sender's best knowledge of the tenant's clock. A delayed
 * message that a newer one has overtaken changes nothing. A message without a time counts as sent when the daemon
 * handles it.
 */
const time = z.iso.datetime({ offset: true }).optional();

/** A person joins: create the user. */
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

/** A person leaves: delete the user. */
export const leaver = z.strictObject({ id, time, expires: time, user: z.strictObject({ name }) });

export type Joiner = z.infer<typeof joiner>;
export type Leaver = z.infer<typeof leaver>;

/**
 * The final answer to an event: the sender may forget it.
 *
 * An event that is not possible now gets an error instead, and stays with its sender.
 */
export type EventAnswer =
  | { readonly outcome: 'done'; readonly detail: string }
  /** It can never succeed as it is. */
  | { readonly outcome: 'refused'; readonly detail: string };
