// Some tests start the apps as processes of their own, and these run what has been built.

import { build } from '../scripts/prepare.mjs';

export default function setUp() {
  build();
}
