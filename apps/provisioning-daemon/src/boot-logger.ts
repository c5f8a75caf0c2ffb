import { ConsoleLogger } from '@nestjs/common';

/** For the boot: tells warnings alone. What fails it is told once, by its message; Nest would add its stack. */
export class BootLogger extends ConsoleLogger {
  constructor() {
    super({ logLevels: ['warn'] });
  }

  override error(): void {}
}
