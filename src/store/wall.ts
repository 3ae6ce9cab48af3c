// The second wall: for whose rows a statement is sent, told to the row level security of the database.

/** For background work that belongs to no namespace: the rows of all of them. Never for a caller's sake. */
export const everywhere = Symbol('everywhere')

/**
 * Whose rows statements may see and write: those of a namespace, or of several whose callers share a
 * statement. Of nobody when there is none: for what touches no such table.
 */
export type Within = string | readonly string[] | typeof everywhere

/** For statements about the server itself, and about tables without a namespace. */
export const nowhere: Within = []

/** Said once, here and in the policies of `migrations/`. */
const word = 'taskflow.namespaces'

/** Holds until the transaction ends: a pooler hands the connection on with nothing of it. */
export function withinStatement(within: Within): { name: string; text: string; values: string[] } {
  return {
    name: 'within',
    text: `select set_config('${word}', $1, true)`,
    values: [settingOf(within)],
  }
}

/**
 * The list as the policies read it. A name that would mean something else in it is left out: a request can
 * carry any text where a namespace is said, and there are no rows under such a name.
 */
export function settingOf(within: Within): string {
  if (within === everywhere) return '*'
  const names = typeof within === 'string' ? [within] : within
  return [...new Set(names)].filter((name) => name !== '*' && !name.includes(',')).join(',')
}

/** Whether anything has to be told at all. */
export function tells(within: Within): boolean {
  return typeof within !== 'object' || within.length > 0
}

/** Whether row level security holds for our role. */
export interface Wall {
  /** Null until the database was asked, and said so. */
  stands: boolean | null
  /** Asks it, unless it has said so. Throws what stands in the way. */
  ask(): Promise<boolean>
}

/** @param look what the database says; null while there are no tables yet. */
export function createWall(look: () => Promise<boolean | null>): Wall {
  let asking: Promise<boolean> | null = null
  const wall: Wall = {
    stands: null,
    ask() {
      if (wall.stands !== null) return Promise.resolve(wall.stands)
      asking ??= look()
        .then((stands) => {
          wall.stands = stands
          return stands === true
        })
        .finally(() => {
          asking = null
        })
      return asking
    },
  }
  return wall
}
