// Some tests start the apps as processes of their own, which run the built code.

import { build } from '../scripts/prepare.mjs';

export default function setUp() {
  build();
}
