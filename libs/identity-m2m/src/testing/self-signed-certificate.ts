import { type KeyObject, sign } from 'node:crypto';

/** A certificate that an RSA key has issued to itself (RFC 5280 §4.1), in DER: as good as any, to whoever asks no more. */
export function selfSignedCertificate(publicKey: KeyObject, privateKey: KeyObject): Buffer {
  const name = sequence(set(sequence(objectIdentifier('550403'), element(0x0c, Buffer.from('attacker')))));
  const toBeSigned = sequence(
    element(0xa0, element(0x02, Buffer.of(2))),
    element(0x02, Buffer.of(1)),
    SHA256_WITH_RSA,
    name,
    sequence(element(0x17, Buffer.from('200101000000Z')), element(0x17, Buffer.from('491231235959Z'))),
    name,
    publicKey.export({ format: 'der', type: 'spki' }),
  );
  return sequence(toBeSigned, SHA256_WITH_RSA, bitString(sign('sha256', toBeSigned, privateKey)));
}

/** Type, length and content (X.690 §8.1). */
function element(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size = length < 0x80 ? Buffer.of(length) : Buffer.of(0x82, length >> 8, length & 0xff);
  return Buffer.concat([Buffer.of(tag), size, content]);
}

const sequence = (...parts: readonly Buffer[]) => element(0x30, Buffer.concat(parts));
const set = (part: Buffer) => element(0x31, part);
const objectIdentifier = (hex: string) => element(0x06, Buffer.from(hex, 'hex'));
const bitString = (content: Buffer) => element(0x03, Buffer.concat([Buffer.of(0), content]));

const SHA256_WITH_RSA = sequence(objectIdentifier('2a864886f70d01010b'), element(0x05, Buffer.alloc(0)));
