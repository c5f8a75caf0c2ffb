import { accessRule } from './access-metadata.js';

/** Lets everybody in, with a token or without. On a class it holds for methods that say nothing else about access. */
export function Public(): ClassDecorator & MethodDecorator {
  return accessRule('public', true);
}
