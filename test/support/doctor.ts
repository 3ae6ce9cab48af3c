// Sets a doctor to work on a set-up that a test has made sick.

import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import { type Diagnosis, type DoctorOptions, diagnose } from '../../src/doctor/doctor.ts'
import type { Finding } from '../../src/doctor/finding.ts'
import { type EmbeddedPostgres, startEmbedded } from '../../src/store/embedded.ts'

const checkout = join(import.meta.dirname, '../..')

/** What it finds. Nothing of the environment has a say in it. */
export function examine(
  env: Record<string, string>,
  options: Partial<DoctorOptions> = {},
): Promise<Diagnosis> {
  return diagnose({
    env: { PORT: '0', ...env },
    envFile: '/nowhere/.env',
    nodeVersion: process.versions.node,
    now: Date.now,
    oldTransaction: 300,
    leastFree: 0,
    ...options,
  })
}

export function findingsOf(diagnosis: Diagnosis): Finding[] {
  return diagnosis.checks.flatMap(({ findings }) => findings)
}

/** Expects one kind of fault and no other, with a repair that says this. */
export async function expectOnly(
  code: string,
  repair: string | RegExp,
  env: Record<string, string>,
  options: Partial<DoctorOptions> = {},
): Promise<Finding> {
  const diagnosis = await examine(env, options)
  const findings = findingsOf(diagnosis)
  expect(findings.map((finding) => finding.code)).toEqual([code])
  expect(diagnosis.healthy).toBe(false)
  const [finding] = findings as [Finding]
  expect(finding.repair).toMatch(repair)
  expect(finding.why).not.toBe('')
  return finding
}

/** A folder that everybody may enter, for as long as the test runs. */
export async function openFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'taskflow-doctor-'))
  await chmod(folder, 0o755)
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A server of the test's own, with these settings. */
export async function startServer(
  settings: Record<string, string>,
  dataDir?: string,
): Promise<EmbeddedPostgres> {
  const server = await startEmbedded({
    dataDir: dataDir ?? (await openFolder()),
    checkoutDir: checkout,
    settings,
  })
  onTestFinished(() => server.stop())
  return server
}
