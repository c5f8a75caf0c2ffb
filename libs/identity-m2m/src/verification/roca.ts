/**
 * Whether an RSA modulus was made by the faulty key generator of CVE-2017-15361, so that it can be factored.
 *
 * Primes of that generator are powers of 65537 modulo each of the small primes, and so is their product. A modulus from
 * elsewhere passes for one with a probability of about 2⁻²⁷.
 */
export function isRocaModulus(modulus: bigint): boolean {
  return SUBGROUPS.every(({ prime, powers }) => powers.has(Number(modulus % BigInt(prime))));
}

/** Small primes for which not every remainder is a power of 65537. */
const SUBGROUPS = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157].map((prime) => ({
  prime,
  powers: powersOf65537(prime),
}));

function powersOf65537(prime: number): ReadonlySet<number> {
  const powers = new Set<number>();
  for (let power = 1; !powers.has(power); power = (power * (65_537 % prime)) % prime) powers.add(power);
  return powers;
}

/** @returns Whether a small prime divides an RSA modulus, so that anyone can factor it. */
export function hasSmallFactor(modulus: bigint): boolean {
  return SMALL_PRIMES.some((prime) => modulus % prime === 0n);
}

/** Primes below 752: what NIST SP 800-89 §5.3.3 has a modulus tried with. */
const SMALL_PRIMES: readonly bigint[] = Array.from({ length: 750 }, (_, index) => index + 2)
  .filter(isPrime)
  .map(BigInt);

function isPrime(candidate: number): boolean {
  for (let divisor = 2; divisor * divisor <= candidate; divisor++) if (candidate % divisor === 0) return false;
  return true;
}
