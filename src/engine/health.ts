// Whether this process can do its work now.

import { readerOf, rows, type Scope } from '../store/db.ts'
import { sql } from '../store/sql.ts'
import { nowhere } from '../store/wall.ts'

/** `checks` names each thing that must be there, and `ok` or one sentence on what is wrong with it. */
export interface Readiness {
  ready: boolean
  checks: Record<string, string>
}

/** How long an answer is good for, in milliseconds: probes must not become load. */
const freshFor = 1_000
/** How long the database may take to answer, in milliseconds. */
const patience = 1_000

export function createReadiness(scope: Scope): {
  check: () => Promise<Readiness>
  retire: () => void
} {
  let retired = false
  let latest: { at: number; database: Promise<string> } | null = null

  async function askDatabase(): Promise<string> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(resolve, patience, `The database did not answer within ${patience} ms.`)
    })
    const asked = rows(readerOf(scope, nowhere), sql`select 1 as one`).then(
      () => 'ok',
      () => 'The database cannot be reached. The service goes on by itself when it is back.',
    )
    const answer = await Promise.race([asked, late])
    clearTimeout(timer)
    return answer
  }

  return {
    async check() {
      const now = performance.now()
      if (latest === null || now - latest.at > freshFor) {
        latest = { at: now, database: askDatabase() }
      }
      const database = await latest.database
      const process = retired ? 'The service is shutting down.' : 'ok'
      return { ready: database === 'ok' && !retired, checks: { database, process } }
    },
    retire() {
      retired = true
    },
  }
}
