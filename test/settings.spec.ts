import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import type { z } from 'zod';
import * as device from '../apps/device/src/settings.js';
import * as backend from '../apps/hr-backend/src/settings.js';
import * as daemon from '../apps/provisioning-daemon/src/settings.js';
import * as service from '../apps/user-provisioning/src/settings.js';

interface Settings {
  readonly settingsSchema: z.ZodObject;
  readonly readSettings: (environment: Record<string, string>) => object;
}

const apps: [string, Settings][] = [
  ['device', device],
  ['hr-backend', backend],
  ['provisioning-daemon', daemon],
  ['user-provisioning', service],
];

const folder = fileURLToPath(new URL('../apps/', import.meta.url));
const read = (file: string) => readFileSync(join(folder, file), 'utf8');

/** A default as the README shows it: paths relative to the app. */
function defaultOf(app: string, { def }: z.ZodType): string {
  const { defaultValue } = def as { defaultValue?: string | number };
  return defaultValue === undefined ? '' : `\`${defaultValue}\``.replace(`${join(folder, app)}/`, '');
}

describe.each(apps)('the settings of %s', (app, { settingsSchema: { shape }, readSettings }) => {
  const schemas = Object.entries(shape) as [string, z.ZodType][];

  test('that are missing or wrong are all named in one error, without a value', () => {
    const required = schemas.filter(([, schema]) => !schema.safeParse(undefined).success);
    const missing = required.map(([name]) => name).filter((name) => name !== 'TENANT_URL');
    const timeout = Object.keys(shape).find((name) => name.endsWith('_MS'))!;
    const read = () => readSettings({ TENANT_URL: 'https://tenant.example', [timeout]: 'a-secret-by-mistake' });
    const lines = new Set([...missing.map((name) => `${name}: is not set`), `${timeout}: must be a number`]);
    expect(missing.length).toBeGreaterThan(1);
    expect(read).toThrow(expect.objectContaining({ code: 'SETTINGS_INVALID' }));
    try {
      read();
    } catch (error) {
      const { message } = error as Error;
      expect(new Set(Array.from(message.matchAll(/^  (.*?) \(/gm), ([, line]) => line))).toEqual(lines);
      expect(message).not.toMatch(/mistake|tenant\.example/);
    }
  });

  test('are in its README, with meaning and default', () => {
    const rows = [...read(`${app}/README.md`).matchAll(/^\| `([A-Z_]+)` *\| (.*?) *\| (.*?) *\|$/gm)];
    expect(rows.map(([, ...cells]) => cells)).toEqual(
      schemas.map(([name, schema]) => [name, schema.description, defaultOf(app, schema)]),
    );
  });

  test('are in its .env.example, and no others', () => {
    const names = [...read(`${app}/.env.example`).matchAll(/^([A-Z_]+)=$/gm)].map(([, name]) => name);
    expect(new Set(names)).toEqual(new Set([...Object.keys(shape), ...(app === 'device' ? ['DEVICE'] : [])]));
  });
});
