export { bearerInterceptor, type BearerInterceptorOptions } from './carriers/undici/bearer-interceptor.js';
