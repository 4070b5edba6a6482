/**
 * `cistern completion bash|zsh|fish`: a script that completes commands, options and the words that an option or an argument
 * takes. It is made from the table of commands, so it knows what the command line knows.
 */
import type { Command } from 'commander';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

interface Words {
  readonly name: string;
  readonly description: string;
  readonly options: readonly {
    readonly flag: string;
    readonly description: string;
    readonly choices: readonly string[];
  }[];
  /** Of its argument; none: any text. */
  readonly choices: readonly string[];
}

export function formatCompletion(shell: Shell, program: Command): string {
  const commands = program.commands.map(readWords);
  switch (shell) {
    case 'bash':
      return formatBash(commands);
    case 'zsh':
      return formatZsh(commands);
    case 'fish':
      return formatFish(commands);
  }
}

function readWords(command: Command): Words {
  const options = command.options.map(({ long, short, description, argChoices }) => ({
    flag: long ?? short ?? '',
    description,
    choices: argChoices ?? [],
  }));
  const [argument] = command.registeredArguments;
  return {
    name: command.name(),
    description: command.description(),
    options: [...options, { flag: '--help', description: 'show help', choices: [] }],
    choices: argument?.argChoices ?? [],
  };
}

function formatBash(commands: readonly Words[]): string {
  const cases = commands.map(({ name, options, choices }) => {
    const flags = options.map(({ flag }) => flag).join(' ');
    return `    ${name}) words="${[...choices, flags].join(' ')}" ;;\n`;
  });
  return `# bash completion of cistern
_cistern() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" words
  case "$before" in
${valueCases(commands)}    --config|-c|--write) COMPREPLY=($(compgen -f -- "$word")); return ;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="${commands.map(({ name }) => name).join(' ')} --help --version"
  else case "\${COMP_WORDS[1]}" in
${cases.join('')}    *) return ;;
  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _cistern cistern
`;
}

/** What follows an option that takes one of a few words. */
function valueCases(commands: readonly Words[]): string {
  const withChoices = commands.flatMap(({ options }) => options.filter(({ choices }) => choices.length > 0));
  return withChoices
    .map(
      ({ flag, choices }) =>
        `    ${flag}) COMPREPLY=($(compgen -W "${choices.join(' ')}" -- "$word")); return ;;\n`,
    )
    .join('');
}

function formatZsh(commands: readonly Words[]): string {
  const names = commands.map(({ name, description }) => `    ${quoteShell(`${name}:${description}`)}\n`);
  const cases = commands.map(({ name, options, choices }) => {
    const flags = options.map(
      option =>
        ` \\\n      ${quoteShell(`${option.flag}[${option.description.replaceAll(/[[\]]/g, '')}]${formatValue(option)}`)}`,
    );
    const argument = choices.length === 0 ? "'*:file:_files'" : quoteShell(`1:word:(${choices.join(' ')})`);
    return `    ${name}) _arguments${flags.join('')} \\\n      ${argument} ;;\n`;
  });
  return `#compdef cistern
# zsh completion of cistern
_cistern() {
  local -a commands
  commands=(
${names.join('')}  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join('')}  esac
}
compdef _cistern cistern
`;
}

function formatValue({ choices }: Words['options'][number]): string {
  return choices.length === 0 ? '' : `:word:(${choices.join(' ')})`;
}

function formatFish(commands: readonly Words[]): string {
  const names = commands.map(
    ({ name, description }) =>
      `complete -c cistern -n __fish_use_subcommand -f -a ${name} -d ${quoteShell(description)}\n`,
  );
  const rest = commands.flatMap(({ name, options, choices }) => {
    const start = `complete -c cistern -n ${quoteShell(`__fish_seen_subcommand_from ${name}`)}`;
    return [
      ...(choices.length === 0 ? [] : [`${start} -f -a ${quoteShell(choices.join(' '))}\n`]),
      ...options.map(
        ({ flag, description, choices: values }) =>
          `${start} -l ${flag.replace(/^-+/, '')} -d ${quoteShell(description)}${values.length === 0 ? '' : ` -x -a ${quoteShell(values.join(' '))}`}\n`,
      ),
    ];
  });
  return `# fish completion of cistern\n${names.join('')}${rest.join('')}`;
}

/** For all three shells; none of our words has a quotation mark or a backslash, but a description may. */
function quoteShell(text: string): string {
  return `'${text.replaceAll("'", '’')}'`;
}
