/** One request, as the log tells of it. Holds no secret and no token. */
export interface RequestEvent {
  /** Arrival, in milliseconds since the Unix epoch. */
  readonly at: number;
  readonly durationMs: number;
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** Undefined if the connection ended without an answer, or hangs. */
  readonly status: number | undefined;
  /** In a few words, such as `issued` or `outage: hang`. */
  readonly outcome: string;
  /** Login name that the client gives, if an OAuth client has it. */
  readonly client: string | undefined;
  /** First 12 hexadecimal digits of the SHA-256 of the token that was handed out or presented. */
  readonly tokenFingerprint: string | undefined;
  /** The `X-CFY-TX-ID` of the response. */
  readonly transactionId: string;
  /** A fault of the emulator itself. */
  readonly error: Error | undefined;
}
