// The embedded PostgreSQL as it is found, without starting it.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { prepareBinaries } from './embedded-binaries.ts'
import { ensureCluster, ROLE } from './embedded-cluster.ts'
import { chooseDataDir, ignore } from './embedded-place.ts'

export interface EmbeddedView {
  dataDir: string
  /** The version that would run. */
  version: string
  /** Where it answers; null when it does not run. */
  url: string | null
}

/**
 * Finds it, and makes the data directory as a start would.
 *
 * @throws EmbeddedError for what a start would refuse.
 */
export async function viewEmbedded(options: {
  dataDir: string | undefined
  checkoutDir: string
}): Promise<EmbeddedView> {
  const place = await chooseDataDir(options)
  const binaries = await prepareBinaries(place.user, undefined)
  const read = (name: string) =>
    readFile(join(place.cluster, name), 'utf8').catch(ignore('ENOENT', 'ENOTDIR'))
  // One that is there may be of another version, which this refuses; it makes none here.
  if ((await read('PG_VERSION')) !== undefined) {
    await ensureCluster(place, binaries, undefined, false)
  }
  const lines = (await read('postmaster.pid'))?.split('\n') ?? []
  const [pid = '', , , port = '', socket = ''] = lines
  const url =
    socket === '' || !isAlive(Number(pid))
      ? null
      : `postgres://${ROLE}@localhost:${port.trim()}/taskflow?host=${encodeURIComponent(socket.trim())}`
  return { dataDir: place.dataDir, version: binaries.version, url }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
