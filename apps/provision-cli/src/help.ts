/** Stands below the help of each command. */
export const HELP = `
Examples:
  $ provision-cli import users.csv --dry-run     # check the lines, send nothing
  $ provision-cli import users.csv               # and the same again, to go on after an interruption
  $ provision-cli import users.csv --retry-rejected    # after you have mended the rejected lines in it
  $ zcat users.ndjson.gz | provision-cli import - --journal users.journal
  $ provision-cli create --name mary.major --mail mary.major@example.org
  $ provision-cli get mary.major --json
  $ provision-cli whoami

Settings come from environment variables; an option takes the place of its variable.
  PROVISION_SERVICE_URL         address of the service
  PROVISION_TENANT_URL          address of the tenant
  PROVISION_APPLICATION_ID      application that issues tokens for the service (default: internal-api)
  PROVISION_CLIENT_ID           login name of the service user
  PROVISION_CLIENT_SECRET       its secret; or, in PROVISION_CLIENT_SECRET_FILE, a file that holds it
  PROVISION_SCOPE               scope to ask for (default: users.read users.write)
  PROVISION_TIMEOUT_MS          longest silence of the service within a call (default: 60000)
There is no option for the secret itself: everybody on this machine can read a command line.
Other variables that begin with PROVISION_ are refused: they are misspelt.
Without a tenant, the sample system of "npm start" on this machine is called.

Exit codes: 0 all done, 1 something was rejected, 2 wrong usage, settings or input, 3 not authorised,
  4 unreachable or not everything done (try again), 5 anything else; 129, 130, 143 ended by a signal.`;

/** Stands below the help of \`import\`. */
export const IMPORT_HELP = `
Examples:
  $ provision-cli import users.csv --dry-run     # check the lines, send nothing
  $ provision-cli import users.csv               # and the same again, to go on after an interruption
  $ provision-cli import users.csv --retry-rejected    # after you have mended the rejected lines in it
  $ zcat users.ndjson.gz | provision-cli import - --journal users.journal

The header of a CSV file, or the members of each NDJSON line:
  name, mail, displayName, description, mobileNumber, officeNumber, password, mustChangePassword, sendInvitation
name and mail are needed. Flags are true or false, 1 or 0, or what a spreadsheet writes for them (WAHR, FAUX …).
Line breaks may stand inside quotes.

What is done stands in a journal beside the file. Run the same command again, and the import goes on where it
was: no user is made twice, none is left out. Ctrl-C finishes what is under way; a second one ends at once.
Lines that are wrong do not stop the rest. <file>.rejects.ndjson has their numbers and the reasons, and no value of
them. Mend them in the file, where they stand, and send them alone with --retry-rejected.
Standard input has no name that a journal could stand beside: give one (--journal), and to go on the same input again.
Settings and exit codes: provision-cli --help`;
