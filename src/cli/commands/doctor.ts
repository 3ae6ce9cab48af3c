// `taskflow doctor`: what is wrong with this set-up, and what mends it.

import type { Check } from '../../doctor/finding.ts'
import { Ended, exits } from '../errors.ts'
import type { Family } from '../family.ts'
import { act, type Session } from '../session.ts'
import { readDuration } from '../settings.ts'
import { oneLine, styled } from '../terminal.ts'

/** A gibibyte is what a busy service writes in minutes. */
const defaultFree = 2 ** 30

export const addDoctor: Family = (program, terminal) => {
  program
    .command('doctor')
    .description('look for what is wrong with this machine, its settings, its database and NATS')
    .option('--old-transaction <duration>', 'complain of transactions open for longer', 'PT5M')
    .option('--least-free <bytes>', 'complain of less room for the data', String(defaultFree))
    .action(
      act(terminal, async (session, options: { oldTransaction: string; leastFree: string }) => {
        const { diagnose } = await import('../../doctor/doctor.ts')
        const diagnosis = await diagnose({
          env: terminal.env,
          envFile: '.env',
          nodeVersion: terminal.nodeVersion,
          now: terminal.now,
          oldTransaction: readDuration(options.oldTransaction, '--old-transaction') / 1000,
          leastFree: Number(options.leastFree),
        })
        if (session.settings.json) session.print(JSON.stringify(diagnosis))
        else for (const check of diagnosis.checks) showCheck(session, check)
        if (!diagnosis.healthy) throw new Ended(exits.failed)
        if (!session.settings.json) session.tell('All is well.')
      }),
    )
}

const indent = ' '.repeat(9)

function showCheck(session: Session, { name, seen, findings }: Check): void {
  const { out, env } = session.terminal
  const paint = (style: 'green' | 'red' | 'yellow' | 'dim', text: string) =>
    styled(out, env, style, text)
  if (findings.length === 0) {
    session.print(`${paint('green', 'ok')}       ${name}: ${oneLine(seen ?? 'looked at')}`)
  }
  for (const { code, level, what, why, repair } of findings) {
    const word = level === 'error' ? paint('red', 'error') : paint('yellow', 'warning')
    session.print(`${word}${' '.repeat(9 - level.length)}${name}: ${oneLine(what)} (${code})`)
    session.print(`${indent}${paint('dim', 'why:')} ${oneLine(why)}`)
    session.print(`${indent}${paint('green', 'try:')} ${oneLine(repair)}`)
  }
}
