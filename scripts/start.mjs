// `npm start`: the sample system on this machine, until Ctrl-C.

import { build, install } from './prepare.mjs';

install();
build();
await import('./sample/show.mjs');
