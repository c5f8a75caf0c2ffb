import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import type { z } from 'zod';
import { settingsSchema as device } from '../apps/device/src/settings.js';
import { settingsSchema as backend } from '../apps/hr-backend/src/settings.js';
import { settingsSchema as daemon } from '../apps/provisioning-daemon/src/settings.js';
import { settingsSchema as service } from '../apps/user-provisioning/src/settings.js';

const apps: [string, z.ZodObject][] = [
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

describe.each(apps)('the settings of %s', (app, { shape }) => {
  test('are in its README, with meaning and default', () => {
    const rows = [...read(`${app}/README.md`).matchAll(/^\| `([A-Z_]+)` *\| (.*?) *\| (.*?) *\|$/gm)];
    expect(rows.map(([, ...cells]) => cells)).toEqual(
      Object.entries(shape).map(([name, schema]) => [
        name,
        (schema as z.ZodType).description,
        defaultOf(app, schema as z.ZodType),
      ]),
    );
  });

  test('are in its .env.example, and no others', () => {
    const names = [...read(`${app}/.env.example`).matchAll(/^([A-Z_]+)=$/gm)].map(([, name]) => name);
    expect(new Set(names)).toEqual(new Set([...Object.keys(shape), ...(app === 'device' ? ['DEVICE'] : [])]));
  });
});
