import { CONNECTIONS } from './hostile/connections.js';
import { ECHOES } from './hostile/echoes.js';
import { ENCODINGS } from './hostile/encodings.js';
import { FRAMING } from './hostile/framing.js';
import { MEMBERS } from './hostile/members.js';
import { PACE } from './hostile/pace.js';
import { STATUSES } from './hostile/statuses.js';

/** What token endpoints answer that are broken, or mean harm, by what is wrong with it. */
export const HOSTILE_ANSWERS = {
  'where the answer ends': FRAMING,
  'how it is encoded': ENCODINGS,
  'how fast, how long, how large it is': PACE,
  'what is in it': MEMBERS,
  'its status and headers': STATUSES,
  'what it repeats': ECHOES,
  'what it speaks': CONNECTIONS,
};
