/** Why a TLS certificate was rejected, and what to do about it. Waiting does not help. */
export interface CertificateFault {
  /** What is wrong, without a full stop. */
  readonly problem: string;
  readonly advice: string;
}

const TRUST_ITS_AUTHORITY =
  'Pass the certificate of its authority in the option ca (PEM), in agent: new https.Agent({ ca }), or in the file that NODE_EXTRA_CA_CERTS names.';

const RENEW = 'Renew the certificate at the server, and check the clock of this machine.';

/** Codes of Node.js for a server's certificate that failed verification, with what they mean. */
const SERVER_CERTIFICATE: Readonly<Record<string, readonly [problem: string, advice: string]>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: ['is self-signed and not trusted', TRUST_ITS_AUTHORITY],
  SELF_SIGNED_CERT_IN_CHAIN: ['is not trusted: its authority is unknown', TRUST_ITS_AUTHORITY],
  UNABLE_TO_GET_ISSUER_CERT: ['is not trusted: its authority is unknown', TRUST_ITS_AUTHORITY],
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: ['is not trusted: its authority is unknown', TRUST_ITS_AUTHORITY],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: ['is not trusted: its authority is unknown', TRUST_ITS_AUTHORITY],
  CERT_UNTRUSTED: ['is not trusted', TRUST_ITS_AUTHORITY],
  CERT_SIGNATURE_FAILURE: ['is not trusted: its authority has another key', TRUST_ITS_AUTHORITY],
  CERT_HAS_EXPIRED: ['has expired', RENEW],
  CERT_NOT_YET_VALID: ['is not valid yet', RENEW],
};

/** The same for codes that need no text of their own. */
const OTHER_SERVER_CERTIFICATE =
  /^(?:CERT_|CRL_|UNABLE_TO_|ERROR_IN_C|INVALID_(?:CA|PURPOSE)$|PATH_LENGTH_EXCEEDED$|HOSTNAME_MISMATCH$|UNSPECIFIED$|ERR_TLS_CERT_)/;

/** TLS alerts by which a server rejects the client's certificate, or its absence (RFC 8446 §6.2). */
const CLIENT_CERTIFICATE_ALERTS: readonly number[] = [42, 43, 44, 45, 46, 48, 49, 116];

/** Finds out whether an exchange with a server failed because of a certificate. */
export function certificateFault(origin: string, error: unknown): CertificateFault | undefined {
  for (const one of [error, asError(error).cause].map(asError)) {
    const server = serverCertificateFault(origin, one);
    if (server) return server;
    const [, alert] = /SSL alert number (\d+)/.exec(String(one.message)) ?? [];
    if (alert !== undefined && CLIENT_CERTIFICATE_ALERTS.includes(Number(alert))) {
      return {
        problem: `${origin} rejected the certificate of this client, or wants one (TLS alert ${alert})`,
        advice:
          'Check the certificate and the key of tlsClientAuth({ … }) or of the agent, and that the server trusts their authority.',
      };
    }
  }
  return undefined;
}

/** What of an error counts here. An agent of the application may have thrown it, so its class says nothing. */
interface AnyError {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly cause?: unknown;
  /** Set by Node.js where it rejected the certificate for its names. */
  readonly cert?: { readonly subjectaltname?: unknown };
}

function asError(value: unknown): AnyError {
  return typeof value === 'object' && value !== null ? value : {};
}

function serverCertificateFault(origin: string, { code, cert }: AnyError): CertificateFault | undefined {
  if (typeof code !== 'string') return undefined;
  const subject = `the TLS certificate of ${origin}`;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return {
      problem: `${subject} is for another host name${namesOf(cert)} (${code})`,
      advice: 'Use an address that the certificate names, or have a certificate issued for this one.',
    };
  }
  const known = Object.hasOwn(SERVER_CERTIFICATE, code) ? SERVER_CERTIFICATE[code] : undefined;
  if (known) return { problem: `${subject} ${known[0]} (${code})`, advice: known[1] };
  if (!OTHER_SERVER_CERTIFICATE.test(code)) return undefined;
  return { problem: `${subject} was rejected (${code})`, advice: TRUST_ITS_AUTHORITY };
}

function namesOf(cert: AnyError['cert']): string {
  return typeof cert?.subjectaltname === 'string' ? `, ${cert.subjectaltname.slice(0, 80)}` : '';
}
