// A service that lives as long as one command: on a free port, with a database of its own that goes with it.

import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { compose } from './compose.ts'
import { loadConfig } from './config.ts'

export interface TemporaryService {
  url: string
  /** Stops it and removes its data. Safe to call again. */
  stop(): Promise<void>
}

/** Starts it. Nothing of the environment has a say in it. */
export async function startTemporary(): Promise<TemporaryService> {
  const dataDir = await mkdtemp(join(tmpdir(), 'taskflow-tour-'))
  const remove = () =>
    rm(dataDir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  try {
    // As root the database runs as another user, who has to get in.
    await chmod(dataDir, 0o755)
    const config = loadConfig({ PORT: '0', TASKFLOW_DATA_DIR: dataDir })
    const service = await compose(config, pino({ level: 'silent' }))
    let stopped: Promise<void> | null = null
    const stop = () => {
      stopped ??= service.stop().finally(remove)
      return stopped
    }
    try {
      return { url: await service.listen(), stop }
    } catch (error) {
      await stop()
      throw error
    }
  } catch (error) {
    await remove()
    throw error
  }
}
