/** The words of `cistern user` on the command line. */
import type { CommandLine, ConfigFlags } from '../command-line.ts';

interface AddFlags extends ConfigFlags {
  readonly passwordStdin?: true;
}

const commandName = 'user';
const configFlag = [
  '-c, --config <file>',
  'configuration file (default: $CISTERN_CONFIG, then ./mirror.yml)',
] as const;

export function defineUser(line: CommandLine): void {
  const user = line.addPlain(commandName, 'users of access.htpasswd: add, change, remove, list');
  const write = (text: string): void => {
    process.stdout.write(text);
  };
  user
    .command('add')
    .description('add a user, or change the password of one')
    .argument('<name>', 'the name')
    .option(...configFlag)
    .option('--password-stdin', 'read the password from standard input instead of asking twice')
    .action((name: string, flags: AddFlags) =>
      line.run(async () => {
        const { runUserAdd } = await import('./user.ts');
        const { askPasswordTwice, readPipedPassword } = await import('./ask-password.ts');
        const input = { input: process.stdin, writeError: (text: string) => void process.stderr.write(text) };
        const isPiped = flags.passwordStdin === true;
        const readPassword = () => (isPiped ? readPipedPassword(input) : askPasswordTwice(input));
        return runUserAdd({ ...line.loadOptions(flags), name, readPassword, write });
      }),
    );
  user
    .command('remove')
    .description('remove a user')
    .argument('<name>', 'the name')
    .option(...configFlag)
    .action((name: string, flags: ConfigFlags) =>
      line.run(async () => {
        const { runUserRemove } = await import('./user.ts');
        return runUserRemove({ ...line.loadOptions(flags), name, write });
      }),
    );
  user
    .command('list')
    .description('list the users, with the kind of their hash')
    .option(...configFlag)
    .option('--json', 'print one JSON document')
    .action((flags: ConfigFlags & { readonly json?: true }) =>
      line.run(async () => {
        const { runUserList } = await import('./user.ts');
        return runUserList({ ...line.loadOptions(flags), json: flags.json ?? false, write });
      }),
    );
}
