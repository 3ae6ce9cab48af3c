// Where a command is typed and read: its streams, environment and clock, as a record that tests can make as well.

export interface Output {
  write(text: string): void
  /** Whether a person looks at it. */
  isTTY: boolean
  /** How wide it is; null when nobody says, as for a pipe. */
  columns: number | null
}

export interface Terminal {
  env: Readonly<Record<string, string | undefined>>
  /** Data, and nothing else. */
  out: Output
  /** What is told to a person. */
  err: Output
  input: {
    isTTY: boolean
    /** All of it. */
    read(): Promise<string>
  }
  /** Milliseconds since 1970 by the clock of this machine. */
  now(): number
  /** The version of Node.js, without the v. */
  nodeVersion: string
  /** Called for SIGINT and SIGTERM from now on, in place of an end at once. */
  onSignal(listener: (signal: 'SIGINT' | 'SIGTERM') => void): void
  /** Ends the process at once. */
  exit(code: number): never
}

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'

const codes: Record<Style, number> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 }

/** Colours a text where that is seen and wanted (https://no-color.org). */
export function styled(output: Output, env: Terminal['env'], style: Style, text: string): string {
  const plain = !output.isTTY || (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb'
  return plain ? text : `\u001b[${codes[style]}m${text}\u001b[0m`
}

/** Line breaks, tabs, and what joins pictures into one. */
const kept = '\n\t\u200d'

/**
 * A text of others in a form that cannot steer the terminal: states and goals come from anywhere,
 * and an escape sequence in one could rewrite what the screen shows.
 */
export function harmless(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, (character) =>
    kept.includes(character) ? character : '·',
  )
}

/** The same, in one line. */
export function oneLine(text: string): string {
  return harmless(text.replace(/\s+/g, ' '))
}
