export default {
  testEnvironment: 'node',
  // The library is resolved to its TypeScript sources, so tests need no build.
  testEnvironmentOptions: { customExportConditions: ['@nestjs-identity-m2m/source', 'node', 'node-addons'] },
  roots: ['<rootDir>/libs', '<rootDir>/apps', '<rootDir>/test'],
  testMatch: ['**/*.spec.ts'],
  // The consumers have tests of their own, which they run with the packed library.
  modulePathIgnorePatterns: ['/dist/', '/test/consumers/'],
  extensionsToTreatAsEsm: ['.ts'],
  resolver: '<rootDir>/test/resolver.cjs',
  globalSetup: '<rootDir>/test/global-setup.mjs',
  setupFiles: ['reflect-metadata'],
  // Jest takes one worker on two cores by default. Loading Nest afresh for each file makes a second one worth it, and a third
  // works while others wait for processes of the sample.
  maxWorkers: 3,
  workerIdleMemoryLimit: '768MB',
  // Some tests open hundreds of sockets, which takes its time on a machine that has other work to do.
  testTimeout: 30_000,
  coverageProvider: 'babel',
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
          target: 'es2023',
          keepClassNames: true,
        },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
};
