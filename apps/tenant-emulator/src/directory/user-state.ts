import { ApiFailure } from '../rest-api/api-failure.js';

const STATES = ['Locked', 'Disabled', 'Expired'];

/**
 * Reads a state as SetUserState takes it: `None`, or one or more of the others, separated by commas.
 *
 * @throws {@link ApiFailure}
 */
export function userStateOf(text: string): string {
  if (text.trim().toLowerCase() === 'none') return 'None';
  const named = text.split(',').map((part) => part.trim().toLowerCase());
  const states = STATES.filter((state) => named.includes(state.toLowerCase()));
  if (states.length !== named.length) {
    throw new ApiFailure(null, 'The state must be None, or one or more of Locked, Disabled and Expired.');
  }
  return states.join(',');
}
