/** Completions: the shells ask the command itself, so that they cannot fall behind it. */

import type { Command } from "./input.ts";
import type { CommandSpec } from "./spec.ts";
import { CommandError, EXIT_OK } from "./terminal.ts";

const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `_flow_layer() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$("\${COMP_WORDS[0]}" __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _flow_layer flow-layer flow
`,
  zsh: `#compdef flow-layer flow
_flow_layer() {
  local -a found
  found=(\${(f)"$("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)"})
  compadd -a found || _files
}
compdef _flow_layer flow-layer flow
`,
  fish: `function __flow_layer_complete
  set -l words (commandline -opc) (commandline -ct)
  $words[1] __complete $words[2..-1] 2>/dev/null
end
complete -c flow-layer -f -a '(__flow_layer_complete)'
complete -c flow -f -a '(__flow_layer_complete)'
`,
};

export const completion: Command = async (input) => {
  const [shell = ""] = input.words;
  const script = Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined;
  if (script === undefined) throw new CommandError(`The shells are ${Object.keys(SCRIPTS).join(", ")}.`);
  input.terminal.write(script);
  return EXIT_OK;
};

const flagsOf = ({ options = [] }: CommandSpec): string[] =>
  options.flatMap(([flags]) => flags.split(", ").map((flag) => flag.split(" ")[0] ?? "")).filter((flag) => flag !== "");

const nameOf = ({ name }: CommandSpec): string => name.split(" ")[0] ?? "";

/** What may stand where the last of `words` is, which may be begun or empty. */
export function completionWords(root: CommandSpec, words: readonly string[]): string[] {
  const begun = words.at(-1) ?? "";
  let command = root;
  for (const word of words.slice(0, -1)) {
    if (word.startsWith("-")) continue;
    const next = command.commands?.find((each) => nameOf(each) === word);
    if (next === undefined) break;
    command = next;
  }
  const common = ["--json", "--profile", "--url", "--wide", "--yes", "--help"];
  const choices = begun.startsWith("-")
    ? [...flagsOf(command).filter((flag) => flag.startsWith("--")), ...common]
    : (command.commands ?? []).map(nameOf);
  return choices.filter((choice) => choice.startsWith(begun));
}
