// `npm run service`: the user-provisioning service alone, with the settings of apps/user-provisioning/.env.

import { build, install, run } from './prepare.mjs';

install();
build();
run(process.execPath, 'apps/user-provisioning/dist/main.js');
