// Puts a worker that pulls through all scenarios, several at once.

import { lostAnswers, lostLeases, restart } from './pull-faults.mjs'
import { cancels, heartbeats, sigkill, sigterm, tasks } from './pull-work.mjs'
import { createService, useService } from './service.mjs'
import { openStage } from './stage.mjs'

const scenarios = [tasks, lostLeases, lostAnswers, heartbeats, sigkill, cancels, sigterm, restart]

/** The names of all checks. */
export const pullChecks = scenarios.flatMap(({ checks }) => Object.keys(checks))

/**
 * @param {string} command of the worker
 * @param {{ only: string[], patience: number, databaseUrl?: string | undefined, serviceUrl?: string | undefined, report: (verdict: import('./rules.mjs').Verdict) => void }} options
 * @returns {Promise<string>} what the workers wrote
 */
export async function checkWorker(command, { only, patience, databaseUrl, serviceUrl, report }) {
  const service =
    serviceUrl === undefined ? await createService(databaseUrl) : useService(serviceUrl)
  const said = []
  const play = async ({ checks, run }) => {
    const open = new Map(Object.entries(checks).filter(([name]) => only.includes(name)))
    const decide = (name, fault) => {
      const [rule, title] = open.get(name) ?? []
      if (title === undefined) return
      open.delete(name)
      report({ name, rule, title, fault })
    }
    const stage = await openStage(service, command, patience)
    let why = 'It did not come to that.'
    try {
      await run(stage, decide)
    } catch (error) {
      why = error instanceof Error ? error.message : String(error)
    }
    for (const name of open.keys()) decide(name, why)
    said.push(stage.said())
    await stage.close()
  }
  try {
    await service.start()
    const wanted = scenarios
      .filter(({ checks }) => Object.keys(checks).some((one) => only.includes(one)))
      // What others use is not killed.
      .filter(({ alone }) => !alone || serviceUrl === undefined)
    await Promise.all(wanted.filter(({ alone }) => !alone).map(play))
    for (const scenario of wanted.filter(({ alone }) => alone)) await play(scenario)
  } finally {
    await service.remove()
  }
  return said.filter(Boolean).join('\n')
}
