import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { checkUsers, type ImportOptions, importUsers } from './commands/import.js';
import type { OutputOptions } from './commands/one-call.js';
import { type CreateOptions, createUser, deleteUser, getUser } from './commands/users.js';
import { whoAmI } from './commands/whoami.js';
import type { CommandContext } from './context.js';
import { CommandError, EXIT, exitCodeOf } from './errors.js';
import { printable } from './output/safe-text.js';
import type { ConnectionOptions } from './settings.js';

/**
 * Runs a command line.
 *
 * @param args Without the program itself.
 * @returns The exit code.
 */
export async function run(args: readonly string[], context: CommandContext): Promise<number> {
  let exitCode: number = EXIT.done;
  const program = commandLine(args, context, (code) => (exitCode = code));
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    // Commander has written its own message.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    const code = exitCodeOf(error);
    context.stderr.write(`${messageOf(error, code)}\n`);
    return code;
  }
}

function commandLine(args: readonly string[], context: CommandContext, end: (exitCode: number) => void): Command {
  const { stdout, stderr } = context;
  const program = new Command('provision-cli')
    .description('Imports users into the user-provisioning service, as a machine client with its own identity.')
    .version(version())
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      // Commander repeats arguments, which may come from a script.
      writeErr: (text) => stderr.write(printableLines(withoutOptionValues(text, args))),
      getOutHelpWidth: () => 100,
      getErrHelpWidth: () => 100,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .configureHelp({ showGlobalOptions: true })
    .option('--service-url <url>', 'address of the service (PROVISION_SERVICE_URL)')
    .option('--tenant-url <url>', 'address of the tenant (PROVISION_TENANT_URL)')
    .option('--application-id <id>', 'application that issues tokens for the service (PROVISION_APPLICATION_ID)')
    .option('--client-id <name>', 'login name of the service user (PROVISION_CLIENT_ID)')
    .option('--client-secret-file <path>', 'file with its secret (PROVISION_CLIENT_SECRET_FILE)')
    .addHelpText('after', HELP);

  program
    .command('import')
    .description('create a user from each line of a file')
    .argument('<file>', 'CSV with a header, or NDJSON; - for standard input')
    .option('--journal <path>', 'file that records which lines are done (default: <file>.journal)')
    .option('--dry-run', 'check all lines, send nothing')
    .option('--retry-rejected', 'send rejected lines again, after you have corrected them in the file')
    .option('--concurrency <number>', 'maximum number of batches of 100 users at once (default: 4)')
    .option('--give-up-after <seconds>', 'give up when no line gets done for this long (default: 300)')
    .option('--json', 'write all events to standard output as lines of JSON')
    .addHelpText('after', IMPORT_HELP)
    .action(async (file: string, options: ImportOptions, command: Command) => {
      const all = command.optsWithGlobals<ImportOptions & ConnectionOptions>();
      end(await (options.dryRun ? checkUsers(file, options.json ?? false, context) : importUsers(file, all, context)));
    });

  program
    .command('create')
    .description('create a user')
    .requiredOption('--name <name>', 'login name: user, or user@suffix')
    .requiredOption('--mail <address>', 'mail address')
    .option('--display-name <text>', 'name as people see it')
    .option('--description <text>', 'free text')
    .option('--mobile-number <number>', 'mobile phone')
    .option('--office-number <number>', 'office phone')
    .option('--password-stdin', 'read the password from standard input (default: the tenant generates one)')
    .option('--no-must-change-password', 'do not ask for a new password at the first login')
    .option('--send-invitation', 'have the tenant mail an invitation')
    .option('--json', 'write the user as a line of JSON')
    .action(async (_options: unknown, command: Command) => {
      end(await createUser(command.optsWithGlobals<CreateOptions>(), context));
    });

  program
    .command('get')
    .description('show a user')
    .argument('<name>', 'login name')
    .option('--json', 'write the user as a line of JSON')
    .action(async (name: string, _options: unknown, command: Command) => {
      end(await getUser(name, command.optsWithGlobals<OutputOptions>(), context));
    });

  program
    .command('delete')
    .description('delete a user')
    .argument('<name>', 'login name')
    .option('--json', 'write the result as a line of JSON')
    .action(async (name: string, _options: unknown, command: Command) => {
      end(await deleteUser(name, command.optsWithGlobals<OutputOptions>(), context));
    });

  program
    .command('whoami')
    .description("show this client's identity, and whether the service accepts it")
    .option('--json', 'write the result as a line of JSON')
    .action(async (_options: unknown, command: Command) => {
      end(await whoAmI(command.optsWithGlobals<OutputOptions>(), context));
    });

  return program;
}

/** A bug in this program is shown with its stack, any other error by its message. */
function messageOf(error: unknown, exitCode: number): string {
  if (!(error instanceof Error)) return printable(String(error));
  const isBug = exitCode === EXIT.failure && !(error instanceof CommandError) && !('syscall' in error);
  return printableLines(isBug ? (error.stack ?? error.message) : `provision-cli: ${error.message}`);
}

/** Removes the values of options from a message: a mistyped one may hold a password (`--password=…`, `-p…`). */
function withoutOptionValues(text: string, args: readonly string[]): string {
  return args.reduce((shown, arg) => {
    const [option = ''] = /^(?:--[a-z-]*=?|-.)/i.exec(arg) ?? [];
    return option.length < 2 || option === arg ? shown : shown.replaceAll(arg, `${option}…`);
  }, text);
}

function printableLines(text: string): string {
  return text
    .split('\n')
    .map((line) => printable(line, 2000))
    .join('\n');
}

function version(): string {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

const IMPORT_EXAMPLES = `
Examples:
  $ provision-cli import users.csv --dry-run     # check the lines, send nothing
  $ provision-cli import users.csv               # the same again resumes it after an interruption
  $ provision-cli import users.csv --retry-rejected    # after you have corrected the rejected lines
  $ zcat users.ndjson.gz | provision-cli import - --journal users.journal`;

/** Shown below the help of every command. */
const HELP = `${IMPORT_EXAMPLES}
  $ provision-cli create --name mary.major --mail mary.major@example.org
  $ provision-cli get mary.major --json
  $ provision-cli whoami

Settings are environment variables. An option overrides its variable.
  PROVISION_SERVICE_URL         address of the service
  PROVISION_TENANT_URL          address of the tenant
  PROVISION_APPLICATION_ID      application that issues tokens for the service (default: internal-api)
  PROVISION_CLIENT_ID           login name of the service user
  PROVISION_CLIENT_SECRET       its secret
  PROVISION_CLIENT_SECRET_FILE  or a file with the secret
  PROVISION_SCOPE               scope of the token (default: users.read users.write)
  PROVISION_TIMEOUT_MS          maximum silence of the service within a call (default: 60000)
There is no option for the secret itself: every user of this machine can read command lines.
Unknown variables that begin with PROVISION_ are rejected: they are probably misspelt.
Without a tenant, the commands call the sample system of "npm start" on this machine.

Exit codes: 0 all done, 1 the service rejected something, 2 invalid usage, settings or input, 3 not authorised,
  4 service unreachable or lines still open (try again), 5 anything else; 129, 130, 143 ended by a signal.`;

/** Shown below the help of `import`. */
const IMPORT_HELP = `${IMPORT_EXAMPLES}

The header of a CSV file, or the members of each NDJSON line:
  name, mail, displayName, description, mobileNumber, officeNumber, password, mustChangePassword, sendInvitation
name and mail are required. Flags are true or false, 1 or 0, or the words of spreadsheets (WAHR, FAUX …).
Line breaks are allowed inside quotes.

A journal beside the file records which lines are done. Run the same command again to resume an import: no user
is created twice, none is left out. Ctrl-C finishes the batches under way; a second one ends at once.
Rejected lines do not stop the rest. <file>.rejects.ndjson has their numbers and the reasons, and none of their
values. Correct them in the file, and send them alone with --retry-rejected.
Standard input has no name to put a journal beside: name one (--journal), and send the same input again to resume.
Settings and exit codes: provision-cli --help`;
