import { Module } from '@nestjs/common';
import { RedrockController } from './redrock.controller.js';

/** The query API. */
@Module({ controllers: [RedrockController] })
export class RedrockModule {}
