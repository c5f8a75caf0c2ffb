// What `npm start` prints: what runs, which client holds which token, and what to try.

import { secretOf } from './development-secrets.mjs';

const CLIENT = 'svc-cli@acme.example';

/** What each service is. */
const MEANING = {
  tenant: 'a CyberArk Identity tenant, emulated',
  'user-provisioning': 'the service: creates users in the tenant',
  daemon: 'creates users for joiners, deletes those of leavers',
  'hr-backend': 'sends joiners and leavers to the daemon',
  'device-north': 'asks device-south for its state; has a secret',
  'device-south': 'asks device-north for its state; has a key',
};

/** @param {{ name: string, pid: number }[]} processes */
export function processesText(processes, { tenantUrl, serviceUrl, daemonUrl, devices }) {
  const address = {
    tenant: tenantUrl,
    'user-provisioning': serviceUrl,
    daemon: daemonUrl,
    'device-north': devices.north,
    'device-south': devices.south,
  };
  const rows = processes.map(({ name, pid }) => [name, `pid ${pid}`, address[name] ?? '', MEANING[name]]);
  const commandLineClient = ['provision-cli', '', '', 'calls the service from a terminal, and exits'];
  return `${heading('What runs')}\n${table([...rows, commandLineClient])}`;
}

export const conversationsHeading = heading(
  'Who calls whom, with which token (its fingerprint; tokens are never printed)',
);

/** @param {Record<string, string>[]} sessions As the tenant's admin API returns them. */
export function tokensText(sessions) {
  const rows = sessions.map(({ client, application, token, scope, issuedAt, expiresAt }) => [
    client.replace(/@.*/, ''),
    token,
    `for ${application}`,
    duration(Date.parse(expiresAt) - Date.parse(issuedAt)),
    scope,
  ]);
  return `${heading('Which token each machine has')}\n${table(rows)}`;
}

/** @param {Record<string, any>[]} users As the tenant's admin API returns them. */
export function usersText(users) {
  const people = users.filter(({ serviceUser }) => !serviceUser);
  return `${heading('Which users were created')}\n${table(people.map(({ name, mail, uuid }) => [name, mail, uuid]))}`;
}

export function suggestionsText({ tenantUrl, serviceUrl, outbox }) {
  return `${heading('What to try next, in another terminal')}
# a token, as the client ${CLIENT}
TOKEN=$(curl -s -u ${CLIENT}:${secretOf(CLIENT)} -d grant_type=client_credentials ${tenantUrl}/oauth2/token/internal-api | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')

# create a user; read it; get 401 without a token
curl -i -w '\\n' ${serviceUrl}/users -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' \\
  -d '{"name": "john.smith", "mail": "john.smith@example.org", "displayName": "John Smith"}'
curl -i -w '\\n' ${serviceUrl}/users/john.smith -H "authorization: Bearer $TOKEN"
curl -i -w '\\n' ${serviceUrl}/users/john.smith

# the same in the browser (press Authorize, and paste what \`echo $TOKEN\` prints)
${serviceUrl}/docs

# 10,000 users, by the command line client
npm run start:import

# add a joiner: an event for the HR backend
OUTBOX=${outbox}
echo '{"type": "joiner", "id": "17", "user": {"name": "grace.hill", "mail": "grace.hill@example.org"}}' > $OUTBOX/17.tmp
mv $OUTBOX/17.tmp $OUTBOX/17.json

# see refreshes fail and calls continue while the token endpoint is down: a second system, whose tokens live for a minute
npm run start:outage

docs/conversations explains these conversations. Ctrl-C stops everything. Calls appear here until then:
`;
}

function heading(text) {
  return `\n${text}\n${'─'.repeat(text.length)}`;
}

/** @param {string[][]} rows */
function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows
    .map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column])).join('  ')}`.trimEnd())
    .join('\n');
}

function duration(ms) {
  const minutes = Math.round(ms / 60_000);
  return minutes % 60 === 0 ? `${minutes / 60} h` : `${minutes} min`;
}
