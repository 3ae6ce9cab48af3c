// `taskflow completion`: what a shell has to be told so that Tab works. The shell asks `taskflow __complete`.

import { misuse } from '../errors.ts'
import type { Family } from '../family.ts'

const scripts: Readonly<Record<string, string>> = {
  bash: `# taskflow: completion for bash. In ~/.bashrc: source <(taskflow completion bash)
_taskflow() {
  local words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
  mapfile -t COMPREPLY < <("\${COMP_WORDS[0]/#\\~/$HOME}" __complete -- "\${words[@]}" 2>/dev/null)
}
complete -o nosort -F _taskflow taskflow`,
  zsh: `#compdef taskflow
# taskflow: completion for zsh. In ~/.zshrc, after compinit: source <(taskflow completion zsh)
# Or as a file named _taskflow in a directory of $fpath.
_taskflow() {
  local program=\${~\${(Q)words[1]}}
  local -a before=("\${(@Q)words[2,CURRENT-1]}")
  local -a found=("\${(@f)$("$program" __complete -- "\${before[@]}" "\${(Q)PREFIX}" 2>/dev/null)}")
  [[ -n "$found" ]] && compadd -V taskflow -- "\${found[@]}"
}
if [[ "\${funcstack[1]}" == _taskflow ]]; then
  _taskflow "$@"
else
  compdef _taskflow taskflow
fi`,
  fish: `# taskflow: completion for fish. taskflow completion fish > ~/.config/fish/completions/taskflow.fish
function __taskflow_complete
    set -l words (commandline -opc)
    set -l program (string replace -r '^~(?=/)' $HOME -- $words[1])
    set -l current (commandline -ct | string trim -l -c '"\\'')
    $program __complete -- $words[2..-1] "$current" 2>/dev/null
end
complete -c taskflow -f -k -a '(__taskflow_complete)'`,
}

export const addCompletion: Family = (program, terminal) => {
  program
    .command('completion <shell>')
    .description('print the completion script of bash, zsh or fish')
    .action((shell: string) => {
      const script = scripts[shell]
      if (script === undefined) {
        throw misuse(
          `there is no completion for "${shell}"`,
          'There is one for bash, zsh and fish.',
          'source <(taskflow completion bash)',
        )
      }
      terminal.out.write(`${script}\n`)
    })
}
