/** An explanation of why a connection to a server failed. */
export interface ConnectionFault {
  readonly fault: 'certificate' | 'proxy_authentication' | 'network';
  /** What failed, without a full stop. */
  readonly problem: string;
  readonly advice: string;
}

/**
 * Explains the error of a request without a response: a rejected TLS certificate, a proxy that opens no tunnel, or an
 * agent for another protocol. Returns undefined for other errors.
 *
 * @param origin Origin of the request.
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

/** Explains the response of a proxy that rejected a request or a tunnel. */
export function proxyFault(origin: string, status: number): ConnectionFault {
  const problem = `the proxy on the way to ${origin} refused the request (HTTP ${status})`;
  if (status === 407) {
    const advice = 'Set its user name and password on the agent, as in http://user:password@proxy.example:3128.';
    return { fault: 'proxy_authentication', problem: `${problem}: it requires credentials`, advice };
  }
  const advice =
    status < 500
      ? 'Check that the proxy allows connections to this host and port. The client retries automatically.'
      : 'Check that the proxy can reach this host and port. The client retries automatically.';
  return { fault: 'network', problem, advice };
}

/** Members of an error that are read here. An agent may have thrown it, so its class is unknown. */
interface AnyError {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly cause?: unknown;
  /** Set by Node.js if it rejected the certificate because of its names. */
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

/** Other codes for a server's certificate that failed verification. */
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
    problem: `${origin} rejected the certificate of this client, or requires one (TLS alert ${alert})`,
    advice:
      'Check the certificate and the key of tlsClientAuth({ … }) or of the agent, and that the server trusts their authority.',
  };
}

/** Error messages of agents whose proxy refuses a tunnel: Node.js 24, hpagent and tunnel. */
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
    problem: `the agent does not open connections to ${origin}: it is for another protocol (${code})`,
    advice: `Set the option agent to an agent of ${module}, or to one for a proxy.`,
  };
}
