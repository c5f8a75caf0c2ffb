import { Module } from '@nestjs/common';
import { DirectoryController } from './directory.controller.js';
import { SecurityController } from './security.controller.js';
import { UserAdministration } from './user-administration.js';

/** The REST API for users. */
@Module({ controllers: [DirectoryController, SecurityController], providers: [UserAdministration] })
export class DirectoryModule {}
