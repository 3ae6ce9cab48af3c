// `taskflow config`: which service a command would talk to, as whom, and where that comes from.

import type { Family } from '../family.ts'
import { readSettings } from '../settings.ts'

export const addConfig: Family = (program, terminal) => {
  program
    .command('config')
    .description('which service, with which key, and where that is set')
    .action((_options, command) => {
      const { base, key, maxTime, json, origins } = readSettings(
        command.optsWithGlobals(),
        terminal,
      )
      const shown = key === undefined ? null : masked(key)
      if (json) {
        const body = { url: base, url_from: origins.url, key: shown, key_from: origins.key }
        terminal.out.write(`${JSON.stringify({ ...body, max_time_ms: maxTime })}\n`)
        return
      }
      terminal.out.write(`url       ${base}  (${origins.url})\n`)
      terminal.out.write(`key       ${shown ?? 'none'}  (${origins.key})\n`)
      terminal.out.write(`max time  ${maxTime / 1000} s\n`)
    })
}

/** Enough of a key to tell it from another, and not enough to use it. */
function masked(key: string): string {
  return key.length < 16 ? '…' : `${key.slice(0, 6)}…`
}
