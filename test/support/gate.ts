// Holds an engine still before each of its SQL statements, so that a test decides in which order the statements of several engines run.

import type pg from 'pg'
import type { Scope } from '../../src/store/db.ts'

/** How long a statement may take before it counts as blocked by a lock, in milliseconds. */
const patience = 50

interface Held {
  text: string
  /** Sends the statement; resolves when it is answered, whatever the answer. */
  send(): Promise<void>
}

export interface Gate {
  /** The same connections, through this gate. */
  through(scope: Scope): Scope
  shut(): void
  /** Lets everything through, what is held first. */
  open(): void
  /**
   * Lets one step through: a statement, with those before it that nobody else can notice. Resolves
   * with `answered`, with `blocked` when it waits for a lock (call again to see whether it still
   * does), or with `idle` when no statement came before `ended` settled.
   */
  step(ended: Promise<unknown>): Promise<'answered' | 'blocked' | 'idle'>
  /** Texts of the statements that are held now. */
  held(): string[]
}

/**
 * Beginning and reading the clock: no order against others makes a difference. Nor do the writes of
 * one transaction, which nobody sees before its COMMIT.
 */
function areOneStep(text: string, next: string): boolean {
  if (text.startsWith('begin') || next.includes('pg_current_xact_id()::text')) return true
  return isWrite(text) && isWrite(next)
}

function isWrite(text: string): boolean {
  return /^\s*(with\b[\s\S]*\b(insert into|update flows)|insert into|update|delete from)\b/.test(
    text,
  )
}

export function createGate(): Gate {
  const queue: Held[] = []
  let isOpen = true
  let arrived: () => void = () => {}
  /** The answer to the last step, while it is not there. */
  let pending: Promise<void> | null = null

  function gated(query: (config: unknown) => Promise<unknown>) {
    return (config: { text: string }) => {
      if (isOpen && queue.length === 0) return query(config)
      return new Promise((resolve, reject) => {
        const send = () => query(config).then(resolve, reject) as Promise<void>
        if (isOpen) void send()
        else queue.push({ text: config.text, send })
        arrived()
      })
    }
  }

  function proxied<T extends object>(target: T): T {
    return new Proxy(target, {
      get(_, name) {
        const value = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        if (name === 'query') return gated(value.bind(target))
        if (name !== 'connect') return value.bind(target)
        return async () => proxied((await value.call(target)) as pg.PoolClient)
      },
    })
  }

  async function somethingHeld(ended: Promise<unknown>): Promise<boolean> {
    let over = false
    const end = ended.then(
      () => {
        over = true
      },
      () => {
        over = true
      },
    )
    while (queue.length === 0 && !over) {
      const arrival = new Promise<void>((resolve) => {
        arrived = resolve
      })
      await Promise.race([arrival, end])
    }
    return queue.length > 0
  }

  async function answered(): Promise<'answered' | 'blocked'> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<'blocked'>((resolve) => {
      timer = setTimeout(() => resolve('blocked'), patience)
    })
    const result = await Promise.race([pending?.then(() => 'answered' as const), late])
    clearTimeout(timer)
    if (result === 'blocked') return 'blocked'
    pending = null
    return 'answered'
  }

  return {
    through: (scope) => ({
      ...scope,
      writer: proxied(scope.writer),
      reader: proxied(scope.reader),
    }),
    shut() {
      isOpen = false
    },
    open() {
      isOpen = true
      for (const one of queue.splice(0)) void one.send()
      pending = null
    },
    held: () => queue.map(({ text }) => text),
    async step(ended) {
      if (pending !== null) return answered()
      if (!(await somethingHeld(ended))) return 'idle'
      const sent: Promise<void>[] = []
      let before = 'begin'
      do {
        const next = queue.shift() as Held
        before = next.text
        sent.push(next.send())
      } while (queue[0] !== undefined && areOneStep(before, queue[0].text))
      pending = Promise.all(sent).then(() => {})
      return answered()
    },
  }
}
