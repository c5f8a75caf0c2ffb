import { describe, expect, it } from '@jest/globals';
import { refuse } from '../verification/refusal.js';
import { bearerCredential, type Credential, credentialIn, soleCredential } from './credential.js';
import { kafkaCredential } from './transports/kafka.js';
import { mqttCredential, natsCredential, packetCredential } from './transports/message.js';

const TOKEN = 'eyJh.e30.c2ln';
const found: Credential = { ok: true, token: TOKEN };
const [missing, malformed, repeated] = [
  refuse('credential_missing'),
  refuse('credential_malformed'),
  refuse('credential_repeated'),
];

describe('one value of Authorization', () => {
  it.each<[string, unknown, Credential]>([
    ['the scheme and a token', `Bearer ${TOKEN}`, found],
    ['the scheme in another case', `bEaReR ${TOKEN}`, found],
    ['several spaces', `Bearer   ${TOKEN}`, found],
    ['any visible ASCII except the comma', 'Bearer !"#+-/~', { ok: true, token: '!"#+-/~' }],
    ['nothing', undefined, missing],
    ['another scheme', `Basic ${TOKEN}`, missing],
    ['a longer scheme', `Bearers ${TOKEN}`, missing],
    ['a shorter scheme', `Beare ${TOKEN}`, missing],
    ['a token without a scheme', TOKEN, missing],
    ['an empty string', '', missing],
    ['a space before the scheme', ` Bearer ${TOKEN}`, missing],
    ['a tab after the scheme', `Bearer\t${TOKEN}`, missing],
    ['the scheme alone', 'Bearer', malformed],
    ['the scheme and spaces', 'Bearer  ', malformed],
    ['a space after the token', `Bearer ${TOKEN} `, malformed],
    ['two tokens', `Bearer ${TOKEN} ${TOKEN}`, malformed],
    ['two joined fields', `Bearer ${TOKEN}, Bearer ${TOKEN}`, malformed],
    ['a comma', 'Bearer a,b', malformed],
    ['a tab before the token', `Bearer \t${TOKEN}`, malformed],
    ['a control character', 'Bearer a\u007f', malformed],
    ['a letter beyond ASCII', 'Bearer ä', malformed],
    ['null', null, malformed],
    ['a list', [`Bearer ${TOKEN}`], malformed],
    ['a buffer', Buffer.from(`Bearer ${TOKEN}`), malformed],
  ])('%s', (_what, value, expected) => {
    expect(bearerCredential(value)).toEqual(expected);
  });

  it('may have 65,536 characters of token, and not one more', () => {
    const letters = 'a'.repeat(65_536);
    expect(bearerCredential(`Bearer ${letters}`)).toEqual({ ok: true, token: letters });
    expect(bearerCredential(`Bearer ${letters}a`)).toMatchObject({ ok: false, reason: 'token_too_long' });
  });

  it.each<[string, string, Credential]>([
    ['token', TOKEN, found],
    ['token after spaces', ` ${TOKEN}`, found],
    ['token after a scheme', `Bearer ${TOKEN}`, malformed],
    ['empty string', '', malformed],
  ])('without a scheme: a %s', (_what, value, expected) => {
    expect(bearerCredential(value, '')).toEqual(expected);
  });

  it.each<[string, string, Credential]>([
    ['that scheme', `dpop ${TOKEN}`, found],
    ['the usual scheme', `Bearer ${TOKEN}`, missing],
  ])('with a scheme of the options: %s', (_what, value, expected) => {
    expect(bearerCredential(value, 'DPoP')).toEqual(expected);
  });
});

describe('all values of Authorization', () => {
  it.each<[string, unknown[], Credential]>([
    ['none', [], missing],
    ['one', [`Bearer ${TOKEN}`], found],
    ['two equal ones', [`Bearer ${TOKEN}`, `Bearer ${TOKEN}`], repeated],
    ['one, and one of another scheme', [`Bearer ${TOKEN}`, 'Basic eDp5'], repeated],
    ['one, and an empty one', [`Bearer ${TOKEN}`, ''], repeated],
  ])('%s', (_what, values, expected) => {
    expect(soleCredential(values)).toEqual(expected);
  });

  it('has the scheme of the options', () => {
    expect(soleCredential([`DPoP ${TOKEN}`], 'DPoP')).toEqual(found);
  });
});

const bearer = `Bearer ${TOKEN}`;

describe('the field authorization of a call', () => {
  it.each<[string, [string, unknown][], Credential]>([
    ['alone', [['authorization', bearer]], found],
    ['in another case', [['AUTHORIZATION', bearer]], found],
    ['among others', [['a', bearer], ['authorization', bearer], ['proxy-authorization', bearer]], found], // prettier-ignore
    ['twice, in another case', [['authorization', bearer], ['Authorization', bearer]], repeated], // prettier-ignore
    ['as a list of two', [['authorization', [bearer, bearer]]], repeated],
    ['as a list of one', [['authorization', [bearer]]], malformed],
    ['as an empty list', [['authorization', []]], malformed],
    ['with a name as long', [['authorizatiom', bearer]], missing],
    ['with a longer name', [['authorization2', bearer]], missing],
    ['absent', [], missing],
  ])('%s', (_what, fields, expected) => {
    expect(credentialIn(fields)).toEqual(expected);
  });
});

describe('the credential of a message', () => {
  const nats = (fields: Record<string, string[]>) => ({
    keys: () => Object.keys(fields),
    values: (name: string) => fields[name] ?? [],
  });

  it.each<[string, Credential, Credential]>([
    ['TCP', packetCredential({ getMetadata: () => ({ authorization: bearer }) }), found],
    ['TCP without metadata', packetCredential({ getMetadata: () => undefined }), missing],
    ['TCP with the metadata null', packetCredential({ getMetadata: () => null }), missing],
    ['TCP with a list as metadata', packetCredential({ getMetadata: () => [bearer] }), malformed],
    ['TCP with a string as metadata', packetCredential({ getMetadata: () => bearer }), malformed],
    ['TCP of a Nest without metadata', packetCredential({}), missing],
    ['NATS', natsCredential({ getHeaders: () => nats({ authorization: [bearer] }) }), found],
    ['NATS without headers', natsCredential({ getHeaders: () => undefined }), missing],
    ['NATS, twice', natsCredential({ getHeaders: () => nats({ authorization: [bearer, bearer] }) }), repeated],
    [
      'NATS in two cases',
      natsCredential({ getHeaders: () => nats({ authorization: [bearer], Authorization: [bearer] }) }),
      repeated,
    ],
    [
      'MQTT 5',
      mqttCredential({ getPacket: () => ({ properties: { userProperties: { authorization: bearer } } }) }),
      found,
    ],
    ['MQTT 5 without user properties', mqttCredential({ getPacket: () => ({ properties: {} }) }), missing],
    ['MQTT 3', mqttCredential({ getPacket: () => ({}) }), missing],
    ['Kafka', kafkaCredential({ getMessage: () => ({ headers: { authorization: bearer } }) }), found],
    ['Kafka without headers', kafkaCredential({ getMessage: () => ({}) }), missing],
    ['Kafka, null', kafkaCredential({ getMessage: () => ({ headers: { authorization: null } }) }), malformed],
  ])('%s', (_what, credential, expected) => {
    expect(credential).toEqual(expected);
  });
});
