/** Says that some tests can't run here, and why. */
export function skip(reason: string): undefined {
  console.log(`skipped: ${reason}`);
}

export function isNodeSince(major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = process.versions.node.split('.').map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}
