import { clientNames, type ForgedToken, type Forgery, type ForgeryMaterial, named } from './forged-token.js';

/** Forges tokens with valid signatures and an ambiguous encoding: RFC 7515 §2, RFC 8725 §3.7. */
export function forgedEncodings(material: ForgeryMaterial): ForgedToken[] {
  return [
    ...named('P1', otherAlphabets(material)),
    ...named('P2', outOfShape(material)),
    ...named('P3', noObjects(material)),
    ...named('P4', duplicateMembers(material)),
    ...named('P5', prototypeMembers(material)),
    ...named('P6', deepAndWide(material)),
  ];
}

function otherAlphabets({ token }: ForgeryMaterial): Forgery[] {
  return ['header', 'payload', 'signature'].flatMap((part, index): Forgery[] => {
    const change = (changed: (text: string) => string) =>
      token
        .split('.')
        .map((text, at) => (at === index ? changed(text) : text))
        .join('.');
    return [
      [`padding after the ${part}`, change((text) => `${text}=`)],
      [`a space in the ${part}`, change((text) => `${text.slice(0, 4)} ${text.slice(4)}`)],
      [`a percent sign in the ${part}`, change((text) => `${text.slice(0, 4)}%41${text.slice(4)}`)],
      [`a bar in the ${part}`, change((text) => `${text.slice(0, 4)}|${text.slice(4)}`)],
      [`an exclamation mark after the ${part}`, change((text) => `${text}!`)],
      [`a letter beyond ASCII in the ${part}`, change((text) => `${text.slice(0, 4)}\u00e9${text.slice(4)}`)],
      [`an extra letter at the end of the ${part}`, change((text) => `${text}A`)],
    ];
  });
}

function outOfShape({ token }: ForgeryMaterial): Forgery[] {
  return [
    ['four segments', `${token}.AAAA`],
    ['a dot in front', `.${token}`],
    ['nothing but dots', '.'.repeat(5000)],
    ['one segment', token.replaceAll('.', '')],
    ['12,000 characters', `${token}${'A'.repeat(12_000)}`],
  ];
}

/** GHSA-5hjw-83fp-phq9 and similar ones: a payload that is not an object has no claims to check. */
function noObjects(material: ForgeryMaterial): Forgery[] {
  const { issuer, claims } = material;
  const header = JSON.stringify(material.header);
  const payload = JSON.stringify(claims);
  const texts: [string, string | Buffer][] = [
    ['a list', `[${payload}]`],
    ['a string', JSON.stringify(payload)],
    ['a number', '1'],
    ['null', 'null'],
    ['nothing', ''],
    ['behind a byte order mark', `\uFEFF${payload}`],
    ['not UTF-8', Buffer.concat([Buffer.from(payload.slice(0, -1)), Buffer.from(',"x":"\u00ff"}', 'latin1')])],
    ['followed by something', `${payload} {}`],
    ['with a comment', `/* */${payload}`],
    ['with single quotes', payload.replaceAll('"', "'")],
    ['with an extra comma', payload.replace(/}$/, ',}')],
  ];
  return [
    ...texts.map(([name, text]): Forgery => [`payload: ${name}`, issuer.signText(header, text)]),
    ['header: a list', issuer.signText(`[${header}]`, payload)],
    ['header: null', issuer.signText('null', payload)],
  ];
}

/** RFC 7515 §4 and §10.12: parsers differ in which of two members they use. */
function duplicateMembers(material: ForgeryMaterial): Forgery[] {
  const { issuer, claims, accepted } = material;
  const header = JSON.stringify(material.header);
  const payload = JSON.stringify(claims);
  const withFirst = (text: string, member: string) => `{${member},${text.slice(1)}`;
  const audience = JSON.stringify(accepted.audience);
  return [
    ['alg twice', issuer.signText(withFirst(header, '"alg":"none"'), payload)],
    ['kid twice', issuer.signText(withFirst(header, '"kid":"another"'), payload)],
    ['aud twice', issuer.signText(header, withFirst(payload, '"aud":"another-api"'))],
    ['sub twice, once escaped', issuer.signText(header, withFirst(payload, '"s\\u0075b":"another"'))],
    ...clientNames(material).map((name): Forgery => [
      `${name} twice`,
      issuer.signText(header, withFirst(payload, `${JSON.stringify(name)}:"another"`)),
    ]),
    ['aud twice, the same', issuer.signText(header, withFirst(payload, `"aud":${audience}`))],
    ['a member twice, deep inside', issuer.signText(header, withFirst(payload, '"x":{"a":[{"b":1,"b":2}]}'))],
  ];
}

function prototypeMembers(material: ForgeryMaterial): Forgery[] {
  const { issuer, claims } = material;
  const header = JSON.stringify(material.header);
  const { iss, aud, exp, ...rest } = claims;
  const member = (name: string, value: unknown) => `${JSON.stringify(name)}:${JSON.stringify(value)}`;
  return [
    ['claims through the prototype', issuer.signText(header, `{${member('__proto__', claims)},${member('iss', iss)}}`)],
    [
      'exp through the prototype',
      issuer.signText(header, `{${member('__proto__', { exp })},${JSON.stringify({ iss, aud, ...rest }).slice(1)}`),
    ],
  ];
}

function deepAndWide(material: ForgeryMaterial): Forgery[] {
  const { issuer, claims } = material;
  const header = JSON.stringify(material.header);
  const open = JSON.stringify(claims).slice(0, -1);
  return [
    ['lists in lists, 2,000 deep', issuer.signText(header, `${open},"x":${'['.repeat(2000)}${']'.repeat(2000)}}`)],
    ['exp beyond all numbers', issuer.signText(header, `${open.replace(/"exp":\d+/, '"exp":1e400')}}`)],
  ];
}
