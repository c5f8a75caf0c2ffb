export { attachToken, type AttachTokenOptions } from './carriers/microservices/attach-token.js';
export {
  ClientProxyConfigurationError,
  type ClientProxyFault,
} from './carriers/microservices/client-proxy-configuration-error.js';
