// The service and the migrations as a process runs them: start, signals, exit codes. One way, whoever asks for it.

import { pino } from 'pino'
import type { Terminal } from './cli/terminal.ts'
import { compose, migratePlace, openPlace } from './compose.ts'
import { ConfigError, loadConfig } from './config.ts'
import { redactedPaths } from './http/server.ts'
import { databaseName, startCard } from './start-card.ts'
import { EmbeddedError } from './store/embedded-place.ts'
import { MigrationError } from './store/migrate.ts'

/** Exit codes: 1 could not start or failed, 2 configuration. */
const failed = 1
const misused = 2

/** Applies the migrations that are missing. Answers the exit code. */
export function migrate(terminal: Terminal): Promise<number> {
  return guarded(terminal, async () => {
    const config = loadConfig(terminal.env)
    // To the standard error: what was applied is the data.
    const logger = pino({ level: config.LOG_LEVEL }, pino.destination(2))
    const place = await openPlace(config)
    try {
      const applied = await migratePlace(config, place, logger)
      terminal.out.write(
        applied.length === 0 ? 'The schema is up to date.\n' : `Applied ${applied.join(', ')}.\n`,
      )
      return 0
    } finally {
      await place.embedded?.stop()
    }
  })
}

/** Serves until a signal stops it. Answers the exit code. */
export function serve(terminal: Terminal): Promise<number> {
  return guarded(terminal, () => runService(terminal))
}

async function runService(terminal: Terminal): Promise<number> {
  const config = loadConfig(terminal.env)
  const logger = pino({ level: config.LOG_LEVEL, redact: [...redactedPaths] })
  // A signal during the start is answered too: whoever sends it wants no service.
  let starting = true
  let stopping = false
  let stop: () => Promise<void> = async () => {}
  const ended = new Promise<number>((resolve) => {
    terminal.onSignal((signal) => {
      if (starting) return terminal.exit(failed)
      if (stopping) {
        logger.warn({ signal }, 'second signal: exiting at once')
        return terminal.exit(failed)
      }
      stopping = true
      logger.info({ signal }, 'stopping')
      const late = setTimeout(() => {
        logger.error('the stop took too long: exiting')
        terminal.exit(failed)
      }, config.TASKFLOW_SHUTDOWN_TIMEOUT)
      late.unref()
      stop().then(
        () => {
          logger.info('stopped')
          resolve(0)
        },
        (error: unknown) => {
          logger.error({ err: error }, 'the stop failed')
          resolve(failed)
        },
      )
    })
  })

  const service = await compose(config, logger)
  stop = service.stop
  starting = false
  void service.place.embedded?.exited.then(({ reason }) => {
    if (stopping) return
    logger.fatal({ reason }, 'the embedded PostgreSQL ended; start the service again to recover')
    terminal.exit(failed)
  })
  try {
    const address = await service.listen()
    const keys = config.TASKFLOW_ADMIN_KEY !== undefined
    if (terminal.out.isTTY) terminal.out.write(startCard({ address, place: service.place, keys }))
    else {
      logger.info({ address, database: databaseName(service.place) }, 'taskflow is ready')
      if (!keys) {
        logger.warn(
          'there is no TASKFLOW_ADMIN_KEY: everybody on this machine may do everything, and nobody else can connect',
        )
      }
    }
  } catch (error) {
    await service.stop()
    throw error
  }
  return ended
}

/** Says in words for the operator what went wrong; the stack only where it is a fault of the program. */
async function guarded(terminal: Terminal, work: () => Promise<number>): Promise<number> {
  try {
    return await work()
  } catch (error) {
    const { text, code } = explain(error)
    terminal.err.write(`taskflow cannot start:\n${text}\n`)
    return code
  }
}

function explain(error: unknown): { text: string; code: number } {
  if (error instanceof ConfigError) return { text: error.message, code: misused }
  if (error instanceof EmbeddedError || error instanceof MigrationError) {
    return { text: error.message, code: failed }
  }
  if (error instanceof Error && 'code' in error) {
    if (error.code === 'EADDRINUSE') {
      return {
        text: `${error.message}. Stop the other program or set PORT to a free port.`,
        code: failed,
      }
    }
    return {
      text: `${error.message || String(error.code)}. Check DATABASE_URL and that the server runs, or let taskflow doctor look.`,
      code: failed,
    }
  }
  return {
    text: error instanceof Error ? (error.stack ?? error.message) : String(error),
    code: failed,
  }
}
