// Runs apt-get for the scripts that fetch what the tests need; waits for others that do the same at once.
import { spawnSync } from 'node:child_process'

/** How long another apt-get is waited for, in milliseconds. */
const patience = 300_000

/**
 * Whether apt-get did what it was told. Its output goes to stderr.
 *
 * @param {string[]} args
 * @param {{ cwd?: string }} [options]
 */
export function apt(args, { cwd } = {}) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' }
  const deadline = Date.now() + patience
  for (;;) {
    // The lock of dpkg is waited for by apt-get itself, that of its lists is not.
    const { status, stdout, stderr } = spawnSync(
      'apt-get',
      ['-o', `DPkg::Lock::Timeout=${patience / 1000}`, ...args],
      { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 2 ** 26 },
    )
    const locked = /Could not get lock|Unable to lock/.test(stderr ?? '')
    if (locked && Date.now() < deadline) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000)
      continue
    }
    process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`)
    return status === 0
  }
}
