/**
 * Whether a text is like a pattern of SQL, in any case: `%` stands for any characters or none, `_` for one.
 *
 * Only the last `%` is ever gone back to, which is enough, because what an earlier one took could only have been taken by
 * the last one too. So the time grows with the two lengths, and no pattern makes it run away as a regular expression would.
 */
export function isLike(text: string, pattern: string): boolean {
  const [characters, wanted] = [Array.from(text.toLowerCase()), Array.from(pattern.toLowerCase())];
  let at = 0;
  let next = 0;
  let afterPercent: { readonly next: number; readonly at: number } | undefined;
  while (at < characters.length) {
    if (wanted[next] === '%') {
      next++;
      afterPercent = { next, at };
    } else if (next < wanted.length && (wanted[next] === '_' || wanted[next] === characters[at])) {
      next++;
      at++;
    } else if (afterPercent) {
      afterPercent = { ...afterPercent, at: afterPercent.at + 1 };
      ({ next, at } = afterPercent);
    } else return false;
  }
  return wanted.slice(next).every((character) => character === '%');
}
