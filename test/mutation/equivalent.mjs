// Mutants that change nothing that can be seen, each with the reason. `line` is the line of the source without its
// indentation, so that an entry ends with the code that it is about.

/** @type {{ file: string, line: string, mutator: string, replacement?: string, reason: string }[]} */
export const EQUIVALENT = [];
