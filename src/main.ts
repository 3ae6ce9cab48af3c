// The process: configuration, start, signals, exit codes. The only user of `process`.

import { existsSync } from 'node:fs'
import { pino } from 'pino'
import { compose, migratePlace, openPlace } from './compose.ts'
import { type Config, ConfigError, loadConfig } from './config.ts'
import { redactedPaths } from './http/server.ts'
import { databaseName, startCard } from './start-card.ts'
import { EmbeddedError } from './store/embedded-place.ts'
import { MigrationError } from './store/migrate.ts'

/** Exit codes: 1 could not start or failed, 2 wrong use or configuration. */
const failed = 1
const misused = 2

async function main(argv: readonly string[]): Promise<void> {
  if (existsSync('.env')) process.loadEnvFile('.env')
  const config = loadConfig(process.env)
  const logger = pino({ level: config.LOG_LEVEL, redact: [...redactedPaths] })
  const [command, ...rest] = argv
  if (rest.length > 0 || (command !== undefined && command !== 'migrate')) {
    throw new ConfigError(
      `"${argv.join(' ')}" is not a command. Use no argument to serve, or migrate.`,
    )
  }
  if (command === 'migrate') return migrateOnly(config, logger)
  await serve(config, logger)
}

async function migrateOnly(config: Config, logger: pino.Logger): Promise<void> {
  const place = await openPlace(config)
  try {
    const applied = await migratePlace(config, place, logger)
    process.stdout.write(
      applied.length === 0 ? 'The schema is up to date.\n' : `Applied ${applied.join(', ')}.\n`,
    )
  } finally {
    await place.embedded?.stop()
  }
}

async function serve(config: Config, logger: pino.Logger): Promise<void> {
  // A signal during the start is answered too: whoever sends it wants no service.
  let stopEarly: (() => void) | null = () => process.exit(failed)
  let stopping = false
  let stop: () => Promise<void> = async () => {}
  const onSignal = (signal: NodeJS.Signals) => {
    if (stopEarly !== null) return stopEarly()
    if (stopping) {
      logger.warn({ signal }, 'second signal: exiting at once')
      process.exit(failed)
    }
    stopping = true
    logger.info({ signal }, 'stopping')
    const late = setTimeout(() => {
      logger.error('the stop took too long: exiting')
      process.exit(failed)
    }, config.TASKFLOW_SHUTDOWN_TIMEOUT)
    late.unref()
    stop().then(
      () => {
        logger.info('stopped')
        process.exit(0)
      },
      (error: unknown) => {
        logger.error({ err: error }, 'the stop failed')
        process.exit(failed)
      },
    )
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)

  const service = await compose(config, logger)
  stop = service.stop
  stopEarly = null
  void service.place.embedded?.exited.then(({ reason }) => {
    if (stopping) return
    logger.fatal({ reason }, 'the embedded PostgreSQL ended; start the service again to recover')
    process.exit(failed)
  })
  try {
    const address = await service.listen()
    const keys = config.TASKFLOW_ADMIN_KEY !== undefined
    const facts = { address, place: service.place, keys }
    if (process.stdout.isTTY) process.stdout.write(startCard(facts))
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
}

/** What went wrong, in words for the operator; the stack only where it is a fault of the program. */
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
      text: `${error.message || String(error.code)}. Check DATABASE_URL and that the server runs.`,
      code: failed,
    }
  }
  return {
    text: error instanceof Error ? (error.stack ?? error.message) : String(error),
    code: failed,
  }
}

main(process.argv.slice(2)).catch((error: unknown) => {
  const { text, code } = explain(error)
  process.stderr.write(`taskflow cannot start:\n${text}\n`)
  process.exit(code)
})
