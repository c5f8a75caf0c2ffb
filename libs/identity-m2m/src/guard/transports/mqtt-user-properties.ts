import { refuse } from '../../verification/refusal.js';
import { type Credential, credentialIn } from '../credential.js';

export interface MqttContext {
  getPacket(): { readonly properties?: { readonly userProperties?: object } };
}

/**
 * MQTT 5: the user property `authorization` (MQTT 5 §3.3.2.3.7). MQTT 3.1.1 has no properties, so its messages carry no
 * credential. A property that is repeated comes as a list: more than one credential.
 */
export function mqttCredential(context: MqttContext): Credential {
  const properties = context.getPacket().properties?.userProperties;
  return properties ? credentialIn(Object.entries(properties)) : refuse('credential_missing');
}
