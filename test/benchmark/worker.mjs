// One measurement in a process of its own: `worker.mjs <scenario> <contender>`. Its answer is one line of JSON.
import { scenarios } from './scenarios/index.mjs';

const [scenario, contender] = process.argv.slice(2);
console.log(JSON.stringify(await scenarios[scenario].measure({ contender })));
process.exit();
