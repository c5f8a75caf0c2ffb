/** What a client shows of itself while a TLS connection is made, and whom it believes. All in PEM. */
export interface TlsIdentity {
  /** Its certificate, with any intermediate ones behind it. */
  readonly cert: string;
  readonly key: string;
  readonly passphrase?: string | undefined;
  /** Certificate authorities to believe, in place of those of the system. */
  readonly ca?: string | undefined;
}
