import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import type { ImportOptions } from './commands/import-options.js';
import { checkUsers } from './commands/dry-run.js';
import { importUsers } from './commands/import.command.js';
import { type CreateOptions, createUser, deleteUser, getUser, type OutputOptions } from './commands/user-commands.js';
import { whoAmI } from './commands/whoami.command.js';
import { EXIT, exitCodeOf } from './exit-code.js';
import { HELP, IMPORT_HELP } from './help.js';
import { OutputError } from './output/output-stream.js';
import { printable } from './output/printable.js';
import { ServiceError } from './service/service-errors.js';
import type { ConnectionOptions } from './settings/settings.js';
import type { Surroundings } from './surroundings.js';

/**
 * Runs a command line.
 *
 * @param args Without the program itself.
 * @returns The exit code.
 */
export async function run(args: readonly string[], surroundings: Surroundings): Promise<number> {
  let exitCode: number = EXIT.done;
  const program = commandLine(args, surroundings, (code) => (exitCode = code));
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    // Commander has said already what is wrong.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    const code = exitCodeOf(error);
    surroundings.stderr.write(`${messageOf(error, code)}\n`);
    return code;
  }
}

function commandLine(args: readonly string[], surroundings: Surroundings, end: (exitCode: number) => void): Command {
  const { stdout, stderr } = surroundings;
  const program = new Command('provision-cli')
    .description('Imports users into the user-provisioning service, as a machine with an identity of its own.')
    .version(version())
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      // It repeats what was typed, or what a script has put there.
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
    .option('--client-secret-file <path>', 'file that holds its secret (PROVISION_CLIENT_SECRET_FILE)')
    .addHelpText('after', HELP);

  program
    .command('import')
    .description('make a user of each line of a file')
    .argument('<file>', 'CSV with a header, or NDJSON; - for standard input')
    .option('--journal <path>', 'where to write down what is done (default: <file>.journal)')
    .option('--dry-run', 'check all lines, send nothing')
    .option('--retry-rejected', 'send rejected lines once more, after you have mended them in the file')
    .option('--concurrency <number>', 'most batches of 100 users at once (default: 4)')
    .option('--give-up-after <seconds>', 'how long nothing may get done (default: 300)')
    .option('--json', 'tell all that happens as lines of JSON on standard output')
    .addHelpText('after', IMPORT_HELP)
    .action(async (file: string, options: ImportOptions, command: Command) => {
      const all = command.optsWithGlobals<ImportOptions & ConnectionOptions>();
      end(
        await (options.dryRun
          ? checkUsers(file, options.json ?? false, surroundings)
          : importUsers(file, all, surroundings)),
      );
    });

  program
    .command('create')
    .description('make a user')
    .requiredOption('--name <name>', 'login name: user, or user@suffix')
    .requiredOption('--mail <address>', 'mail address')
    .option('--display-name <text>', 'name as people see it')
    .option('--description <text>', 'anything else')
    .option('--mobile-number <number>', 'mobile phone')
    .option('--office-number <number>', 'office phone')
    .option('--password-stdin', 'read the password from standard input (default: the tenant makes a random one)')
    .option('--no-must-change-password', 'the first login does not ask for a new password')
    .option('--send-invitation', 'the tenant mails an invitation')
    .option('--json', 'show the user as a line of JSON')
    .action(async (_options: unknown, command: Command) => {
      end(await createUser(command.optsWithGlobals<CreateOptions>(), surroundings));
    });

  program
    .command('get')
    .description('show a user')
    .argument('<name>', 'login name')
    .option('--json', 'as a line of JSON')
    .action(async (name: string, _options: unknown, command: Command) => {
      end(await getUser(name, command.optsWithGlobals<OutputOptions>(), surroundings));
    });

  program
    .command('delete')
    .description('delete a user')
    .argument('<name>', 'login name')
    .option('--json', 'answer with a line of JSON')
    .action(async (name: string, _options: unknown, command: Command) => {
      end(await deleteUser(name, command.optsWithGlobals<OutputOptions>(), surroundings));
    });

  program
    .command('whoami')
    .description('show as whom this program calls, and whether the service lets it in')
    .option('--json', 'as a line of JSON')
    .action(async (_options: unknown, command: Command) => {
      end(await whoAmI(command.optsWithGlobals<OutputOptions>(), surroundings));
    });

  return program;
}

/** A fault of this program is worth its stack; all else is for whoever typed the command. */
function messageOf(error: unknown, exitCode: number): string {
  if (!(error instanceof Error)) return printable(String(error));
  const isSaid = error instanceof ServiceError || error instanceof OutputError || 'syscall' in error;
  const isFault = exitCode === EXIT.failure && !isSaid;
  return printableLines(isFault ? (error.stack ?? error.message) : `provision-cli: ${error.message}`);
}

/** A mistaken option may hold a password: `--password=…`, or `-p…` as other programs have it. */
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
