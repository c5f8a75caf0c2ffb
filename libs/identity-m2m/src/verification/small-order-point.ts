/** The prime of the field that Ed25519 works in (RFC 8032 §5.1). */
const P = 2n ** 255n - 19n;

/** The y coordinate of two of the four points of order 8; the other two have its negative. */
const Y_OF_ORDER_8 = 0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n;

/**
 * The y coordinates of the eight points whose order divides 8: the neutral element, the point of order 2, the two of
 * order 4, the four of order 8. For order 8 doubling gives y = 0, and so d·y⁴ + 2·y² = 1.
 */
const SMALL_ORDER_Y: ReadonlySet<bigint> = new Set([1n, P - 1n, 0n, Y_OF_ORDER_8, P - Y_OF_ORDER_8]);

/**
 * Whether an Ed25519 public key is a point of small order, in any of its encodings.
 *
 * With such a key the equation of RFC 8032 §5.1.7 holds for one message in at most eight whatever the signature, so that
 * anyone can find a signature by trying. The sign of x is ignored and y is reduced, because OpenSSL accepts encodings
 * that RFC 8032 §5.1.3 does not.
 *
 * Points of mixed order (an honest key plus a point of small order) are not refused: forging for one needs its private
 * key as for any other, and telling them apart takes a multiplication by the order of the group.
 *
 * @param encoded The 32 bytes of the key, little-endian, the sign of x in the highest bit.
 */
export function isSmallOrderPoint(encoded: Uint8Array): boolean {
  const bytes = Uint8Array.from(encoded).toReversed();
  const y = BigInt(`0x${Buffer.from(bytes).toString('hex')}`) & (2n ** 255n - 1n);
  return SMALL_ORDER_Y.has(y % P);
}
