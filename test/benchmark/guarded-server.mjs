// A Nest application with one route behind a guard, in a process of its own:
// `guarded-server.mjs <express|fastify> <guard> <issuer as JSON>`.
import 'reflect-metadata';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { guards } from './contenders/guards.mjs';

const [platform, name, issuer] = process.argv.slice(2);
const { imports = [], providers = [], decorators = [], middleware } = guards[name](JSON.parse(issuer));

class Things {
  all() {
    return { ok: true };
  }
}
Get('things')(Things.prototype, 'all', Object.getOwnPropertyDescriptor(Things.prototype, 'all'));
for (const decorate of [Controller(), ...decorators]) decorate(Things);

class AppModule {}
Module({ imports, providers, controllers: [Things] })(AppModule);

const app = await NestFactory.create(AppModule, ...(platform === 'fastify' ? [new FastifyAdapter()] : []), {
  logger: false,
});
if (middleware) app.use(middleware);
await app.listen(0, '127.0.0.1');
process.on('message', () => process.send({ rssMiB: process.memoryUsage().rss / 2 ** 20, cpu: process.cpuUsage() }));
process.on('disconnect', () => process.exit());
process.send({ url: await app.getUrl() });
