// `npm run start:outage`: a sample system whose tokens live for a minute, and its tenant's token endpoint away for a while.

import { build, install } from './prepare.mjs';

install();
build();
await import('./sample/outage.mjs');
