import { Controller, HttpCode, Post } from '@nestjs/common';
import { z } from 'zod';
import { SigningKeys } from '../tokens/signing-keys.js';
import { JsonBody } from './json-body.decorator.js';

const rotation = z.strictObject({ dropOld: z.boolean().default(false) });

/** The keys that sign tokens. */
@Controller('keys')
export class KeyRotationController {
  constructor(private readonly keys: SigningKeys) {}

  @Post('rotate')
  @HttpCode(200)
  async rotate(@JsonBody(rotation) options: z.output<typeof rotation>) {
    const { kid } = await this.keys.rotate(options);
    return { kid, published: this.keys.publicKeySet.keys.map((key) => key.kid) };
  }
}
