// Lets Node.js run the TypeScript sources as they are, for tests that need a process of its own:
//   node --conditions=@nestjs-identity-m2m/source --import <this file> <main file>.ts

import { register } from 'node:module';

register('./typescript-hooks.mjs', import.meta.url);
