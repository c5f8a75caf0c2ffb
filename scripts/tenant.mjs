// `npm run tenant`: the tenant emulator alone, as a development tool.

import { build, install, run } from './prepare.mjs';

install();
build();
run(process.execPath, 'apps/tenant-emulator/dist/main.js', ...process.argv.slice(2));
