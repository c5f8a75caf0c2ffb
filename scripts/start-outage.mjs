// `npm run start:outage`: a sample system whose tokens live for a minute, with an outage of the token endpoint.

import { build, install } from './prepare.mjs';

install();
build();
await import('./sample/outage.mjs');
