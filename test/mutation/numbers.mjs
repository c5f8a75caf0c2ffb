// Stryker has no mutator for numbers. So each number N of a file that decides is written `(2N / 2)` before, which is
// the same, and whose arithmetic mutant `(2N * 2)` is four times as much.

import ts from 'typescript';

/** Returns a source with its numbers written as halves. */
export function withHalvedNumbers(source, fileName) {
  const file = ts.createSourceFile(fileName, source, ts.ScriptTarget.Latest, true);
  const edits = [];
  const visit = (node) => {
    if (ts.isTypeNode(node)) return;
    if (ts.isNumericLiteral(node) && Number(node.text) !== 0 && !isName(node)) edits.push(node);
    ts.forEachChild(node, visit);
  };
  visit(file);
  let result = source;
  for (const node of edits.toReversed()) {
    const halved = `(${2 * Number(node.text)} / 2)`;
    result = result.slice(0, node.getStart(file)) + halved + result.slice(node.getEnd());
  }
  return result;
}

/** Whether a number is the name of a member. */
function isName(node) {
  return ts.isPropertyAssignment(node.parent) && node.parent.name === node;
}
