// `npm run start:import [-- <number>]`: imports 10,000 users, or this number, into the sample system.

import { build, install } from './prepare.mjs';

install();
build();
await import('./sample/import.mjs');
