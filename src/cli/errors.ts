// How a command fails: exit codes that scripts can rely on, and errors in three lines.

/** What the process ends with. Fixed: scripts branch on them. */
export const exits = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  conflict: 4,
  unauthorised: 5,
  unreachable: 6,
  timedOut: 7,
  interrupted: 130,
} as const

export type Exit = (typeof exits)[keyof typeof exits]

/** For `--help` and the documentation. */
export const exitWords: readonly (readonly [Exit, string])[] = [
  [exits.ok, 'done'],
  [exits.failed, 'failed, or something is wrong (doctor)'],
  [exits.usage, 'wrong use, configuration or input'],
  [exits.notFound, 'not found, or gone'],
  [exits.conflict, 'not possible in the present state, or changed meanwhile'],
  [exits.unauthorised, 'no key, a wrong one, or one that does not allow this'],
  [exits.unreachable, 'no service answers'],
  [exits.timedOut, 'what was waited for did not happen in time'],
  [exits.interrupted, 'interrupted'],
]

/** Why a command failed, in three lines: what, why, what to do. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  readonly exit: Exit
  readonly why: string
  /** A command to type, or a sentence when there is none. */
  readonly repair: string
  /** The problem document that the service answered; shown in place of the lines with `--json`. */
  readonly document: string | undefined

  constructor(exit: Exit, lines: { what: string; why: string; repair: string }, document?: string) {
    super(lines.what)
    this.exit = exit
    this.why = lines.why
    this.repair = lines.repair
    this.document = document
  }
}

/** Ends a command that has said all there is to say, with a code. */
export class Ended extends Error {
  override readonly name = 'Ended'
  readonly exit: Exit

  constructor(exit: Exit) {
    super(`exit ${exit}`)
    this.exit = exit
  }
}

/** A mistake in what was typed. */
export function misuse(what: string, why: string, repair: string): CommandError {
  return new CommandError(exits.usage, { what, why, repair })
}
