/** Why no connection to a server came about, where more can be said than an error code. */
export interface ConnectionFault {
  readonly fault: 'certificate' | 'proxy_authentication' | 'network';
  /** What is wrong, without a full stop. */
  readonly problem: string;
  readonly advice: string;
}

/**
 * Explains the error of a request that got no answer: a TLS certificate that was rejected, a proxy that opens no tunnel, an
 * agent that does not fit.
 *
 * @param origin Origin of the server that was to be reached.
 */
export function connectionFault(origin: string, error: unknown): ConnectionFault | undefined {
  for (const one of [error, asError(error).cause].map(asError)) {
    const fault =
      serverCertificateFault(origin, one) ??
      clientCertificateFault(origin, one) ??
      tunnelFault(origin, one) ??
      agentFault(origin, one);
    if (fault) return fault;
  }
  return undefined;
}

/** The answer of a proxy that did not let a request pass, or opened no tunnel for it. */
export function proxyFault(origin: string, status: number): ConnectionFault {
  const problem = `the proxy on the way to ${origin} refused the request (HTTP ${status})`;
  if (status === 407) {
    const advice = 'Give its user name and password to the agent, as in http://user:password@proxy.example:3128.';
    return { fault: 'proxy_authentication', problem: `${problem}: it wants credentials of its own`, advice };
  }
  const advice =
    status < 500
      ? 'Check that the proxy allows connections to this host and port. It is tried again by itself.'
      : 'Check that the proxy can reach this host and port. It is tried again by itself.';
  return { fault: 'network', problem, advice };
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

function serverCertificateFault(origin: string, { code, cert }: AnyError): ConnectionFault | undefined {
  if (typeof code !== 'string') return undefined;
  const fault = 'certificate';
  const subject = `the TLS certificate of ${origin}`;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const names = typeof cert?.subjectaltname === 'string' ? `, ${cert.subjectaltname.slice(0, 80)}` : '';
    const advice = 'Use an address that the certificate names, or have a certificate issued for this one.';
    return { fault, problem: `${subject} is for another host name${names} (${code})`, advice };
  }
  const known = Object.hasOwn(SERVER_CERTIFICATE, code) ? SERVER_CERTIFICATE[code] : undefined;
  if (known) return { fault, problem: `${subject} ${known[0]} (${code})`, advice: known[1] };
  if (!OTHER_SERVER_CERTIFICATE.test(code)) return undefined;
  return { fault, problem: `${subject} was rejected (${code})`, advice: TRUST_ITS_AUTHORITY };
}

/** TLS alerts by which a server rejects the client's certificate, or its absence (RFC 8446 §6.2). */
const CLIENT_CERTIFICATE_ALERTS: readonly number[] = [42, 43, 44, 45, 46, 48, 49, 116];

function clientCertificateFault(origin: string, { message }: AnyError): ConnectionFault | undefined {
  const [, alert] = /SSL alert number (\d+)/.exec(String(message)) ?? [];
  if (alert === undefined || !CLIENT_CERTIFICATE_ALERTS.includes(Number(alert))) return undefined;
  return {
    fault: 'certificate',
    problem: `${origin} rejected the certificate of this client, or wants one (TLS alert ${alert})`,
    advice:
      'Check the certificate and the key of tlsClientAuth({ … }) or of the agent, and that the server trusts their authority.',
  };
}

/** How agents for proxies word the refusal of a tunnel: that of Node.js 24, hpagent and tunnel. */
const TUNNEL_REFUSED =
  /^(?:Failed to establish tunnel to .*: HTTP\/1\.[01] |Bad response: |tunneling socket could not be established, statusCode=)(\d{3})\b/;

function tunnelFault(origin: string, { message }: AnyError): ConnectionFault | undefined {
  const [, status] = TUNNEL_REFUSED.exec(String(message)) ?? [];
  return status === undefined ? undefined : proxyFault(origin, Number(status));
}

function agentFault(origin: string, { code }: AnyError): ConnectionFault | undefined {
  if (code !== 'ERR_INVALID_PROTOCOL') return undefined;
  const module = origin.startsWith('https:') ? 'node:https' : 'node:http';
  return {
    fault: 'network',
    problem: `the agent does not make connections to ${origin}: it is for another protocol (${code})`,
    advice: `Give the option agent one of ${module}, or one for a proxy.`,
  };
}
