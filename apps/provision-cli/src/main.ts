#!/usr/bin/env node
import 'reflect-metadata';
import { systemClock } from './context.js';
import { run } from './program.js';

const { stdin, stdout, stderr, env } = process;

// A reader that has gone (`provision-cli … | head`) must not cause a stack trace.
stdout.on('error', () => {});
stderr.on('error', () => {});

process.exitCode = await run(process.argv.slice(2), { stdin, stdout, stderr, environment: env, clock: systemClock });
