// `npm run start:import`: 10,000 users into the sample system, or as many as `npm run start:import -- <number>` says.

import { build, install } from './prepare.mjs';

install();
build();
await import('./sample/import.mjs');
