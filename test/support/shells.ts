// Tab as zsh and fish have it: the words that the shell itself offers for what stands on its line.

import { execFile, spawnSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export type Shell = 'zsh' | 'fish'

/** Where things are for a user: `bin/taskflow` and the shell's own files are in their home. */
export interface Home {
  home: string
  env: Record<string, string>
}

export function isThere(shell: Shell): boolean {
  return spawnSync(shell, ['--version']).status === 0
}

/**
 * What Tab offers behind each of these lines, once the completion is loaded as docs/cli.md says.
 *
 * @param load how zsh is told of it; fish finds its file by itself.
 */
export async function offered(
  shell: Shell,
  place: Home,
  lines: readonly string[],
  load = 'source <(taskflow completion zsh)',
): Promise<string[][]> {
  return shell === 'zsh' ? inZsh(place, lines, load) : inFish(place, lines)
}

async function inFish({ home, env }: Home, lines: readonly string[]): Promise<string[][]> {
  const options = { env, cwd: home }
  const folder = join(home, '.config/fish/completions')
  await mkdir(folder, { recursive: true })
  const { stdout } = await run('taskflow', ['completion', 'fish'], options)
  await writeFile(join(folder, 'taskflow.fish'), stdout)
  const script = 'for line in $argv; complete -C $line; echo ---; end'
  const asked = await run('fish', ['-c', script, ...lines], options)
  if (asked.stderr !== '') throw new Error(`fish complains: ${asked.stderr}`)
  return partsOf(asked.stdout)
}

/** What stands before each mark, as words. */
function partsOf(text: string): string[][] {
  const parts = text.split('---\n').slice(0, -1)
  return parts.map((part) => part.split('\n').filter((word) => word !== ''))
}

/**
 * zsh completes on a terminal alone: one zsh has another on a pseudo terminal, types a line and Tab, and waits
 * until the other has written what it was to offer.
 */
const typist = `
zmodload zsh/zpty zsh/zselect
zpty z zsh -f -i
zpty -w z "source $HOME/offer.zsh"
marks=0
wait_for_mark() {
  local i
  for (( i = 0; i < 1000; i++ )); do
    (( $(grep -c '^---$' "$FOUND") > marks )) && { (( marks += 1 )); return 0 }
    while zpty -r -t z said; do heard+=$said; done
    zselect -t 2
  done
  print -ru2 -- "nothing came: $heard"
  exit 1
}
wait_for_mark
for line; do
  zpty -w -n z "$line"$'\\t'
  wait_for_mark
  zpty -w -n z $'\\C-u'
done
zpty -d z
`
const offer = (load: string) => `
PS1=
autoload -Uz compinit
compinit -u -D
${load}
compadd() {
  local -a words=("\${(@)argv[\${argv[(i)--]}+1,-1]}")
  print -rl -- "\${words[@]}" >> "$FOUND"
  builtin compadd "$@"
}
tab() { zle complete-word; print -r -- --- >> "$FOUND" }
zle -N tab
bindkey '^I' tab
bindkey '^U' kill-whole-line
zle-line-init() { print -r -- --- >> "$FOUND"; zle -D zle-line-init }
zle -N zle-line-init
`

async function inZsh(
  { home, env }: Home,
  lines: readonly string[],
  load: string,
): Promise<string[][]> {
  const found = join(home, 'found')
  await writeFile(found, '')
  await writeFile(join(home, 'typist.zsh'), typist)
  await writeFile(join(home, 'offer.zsh'), offer(load))
  await run('zsh', ['-f', join(home, 'typist.zsh'), ...lines], {
    env: { ...env, FOUND: found, TERM: 'xterm' },
    cwd: home,
    timeout: 100_000,
  })
  // The first mark is that of the prompt.
  return partsOf(await readFile(found, 'utf8')).slice(1)
}
