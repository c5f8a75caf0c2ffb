import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { endlessly, failed, grant, type HostileAnswer, http, JSON_TYPE, OK, raw, usable } from './answer.js';

const GRANT = grant();
const encoded = (body: Buffer, encoding: string) => http(body, { headers: [`content-encoding: ${encoding}`] });
const refused = failed('malformed', { fault: 'compressed' });

const tooLarge = failed('malformed', { fault: 'too_large' });

/** A megabyte of blanks, packed into a kilobyte. */
const BLANKS = Buffer.alloc(1_000_000, ' ');
const BOMB = gzipSync(BLANKS);

/** Character encodings that are not UTF-8, and compression, which the request does not ask for. */
export const ENCODINGS: readonly HostileAnswer[] = [
  { name: 'a body in gzip', answer: encoded(gzipSync(GRANT), 'gzip'), becomes: usable() },
  { name: 'a body in x-gzip', answer: encoded(gzipSync(GRANT), 'x-gzip'), becomes: usable() },
  { name: 'a body in deflate', answer: encoded(deflateSync(GRANT), 'deflate'), becomes: usable() },
  { name: 'a body in Brotli', answer: encoded(brotliCompressSync(GRANT), 'br'), becomes: usable() },
  { name: 'a body in Zstandard', answer: encoded(Buffer.from('28b52ffd', 'hex'), 'zstd'), becomes: refused },
  { name: 'a body in gzip twice', answer: encoded(gzipSync(gzipSync(GRANT)), 'gzip, gzip'), becomes: refused },
  { name: 'a body in gzip called GZIP', answer: encoded(gzipSync(GRANT), ' GZIP '), becomes: usable() },
  { name: 'a bomb of gzip', answer: encoded(BOMB, 'gzip'), becomes: tooLarge },
  { name: 'a bomb of gzip within gzip', answer: encoded(gzipSync(BOMB), 'gzip, gzip'), becomes: refused },
  { name: 'a bomb of deflate', answer: encoded(deflateSync(BLANKS), 'deflate'), becomes: tooLarge },
  { name: 'a bomb of Brotli', answer: encoded(brotliCompressSync(BLANKS), 'br'), becomes: tooLarge },
  {
    name: 'a gzip that swells for as long as it is read',
    answer: endlessly(raw([OK, JSON_TYPE, 'content-encoding: gzip', 'connection: close']), BOMB.toString('latin1')),
    becomes: tooLarge,
  },
  {
    name: 'a body in raw deflate, without the frame',
    answer: encoded(deflateRawSync(GRANT), 'deflate'),
    becomes: usable(),
    why: 'some servers leave it out, and there is no doubt about what they mean',
  },
  { name: 'a gzip that is cut short', answer: encoded(gzipSync(GRANT).subarray(0, -9), 'gzip'), becomes: refused },
  {
    name: 'a refusal in gzip',
    answer: http(gzipSync('{"error":"invalid_client"}'), { status: 401, headers: ['content-encoding: gzip'] }),
    becomes: failed('credential', { oauthError: 'invalid_client' }),
  },
  {
    name: 'no body, said to be gzip',
    answer: http('', { status: 503, headers: ['content-encoding: gzip'] }),
    becomes: failed('transient', { says: 'HTTP 503' }),
  },
  {
    name: 'a plain body that is said to be gzip',
    answer: encoded(Buffer.from(GRANT), 'gzip'),
    becomes: refused,
  },
  {
    name: 'a content coding that nobody knows',
    answer: encoded(Buffer.from(GRANT), 'rot13'),
    becomes: refused,
  },
  {
    name: 'a content coding said twice, identity and gzip',
    answer: http(gzipSync(GRANT), { headers: ['content-encoding: identity', 'content-encoding: gzip'] }),
    becomes: refused,
  },
  { name: 'the content coding identity', answer: encoded(Buffer.from(GRANT), 'identity'), becomes: usable() },
  { name: 'a body in gzip that does not say so', answer: http(gzipSync(GRANT)), becomes: failed('malformed') },
  { name: 'a body in UTF-16', answer: http(Buffer.from(GRANT, 'utf16le')), becomes: failed('malformed') },
  {
    name: 'a body in UTF-16 with a byte order mark',
    answer: http(Buffer.from(`\ufeff${GRANT}`, 'utf16le'), { type: 'application/json; charset=utf-16' }),
    becomes: failed('malformed'),
  },
  {
    name: 'a byte order mark in front of UTF-8',
    answer: http(`\ufeff${GRANT}`),
    becomes: usable(),
    why: 'RFC 8259 §8.1 lets a reader overlook it, and it changes nothing',
  },
  {
    name: 'Latin-1 in a member that nobody reads',
    answer: http(Buffer.from(grant({ note: 'gr\u00fc\u00df' }), 'latin1'), {
      type: 'application/json; charset=iso-8859-1',
    }),
    becomes: usable(),
  },
  {
    name: 'Latin-1 in the token',
    answer: http(Buffer.from(grant({ access_token: 't\u00f6ken' }), 'latin1')),
    becomes: failed('malformed'),
  },
  {
    name: 'bytes in the token that are no UTF-8',
    answer: http(Buffer.from(GRANT.replace('hostile', '\xff\xfe\xc0'), 'latin1')),
    becomes: failed('malformed'),
  },
  {
    name: 'an overlong UTF-8 form of a letter in the token',
    answer: http(Buffer.from(GRANT.replace('hostile', '\xc1\xa1'), 'latin1')),
    becomes: failed('malformed'),
  },
  {
    name: 'a charset that nobody knows, around plain ASCII',
    answer: http(GRANT, { type: 'application/json; charset=klingon' }),
    becomes: usable(),
    why: 'RFC 8259 §11: JSON has no charset parameter, and one that is given means nothing',
  },
];
