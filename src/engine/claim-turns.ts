// Whose turn it is among the controllers of a namespace, as far as this process has served them.

/** Controllers whose turn is remembered. */
const remembered = 256

export interface ClaimTurns {
  /** Controllers that were served lately, the longest ago first. */
  servedOf(namespace: string): string[]
  served(step: { namespace: string; controller_id: string }): void
}

export function createClaimTurns(): ClaimTurns {
  const namespaces = new Map<string, Set<string>>()
  return {
    servedOf: (namespace) => [...(namespaces.get(namespace) ?? [])],
    served({ namespace, controller_id }) {
      const turns = namespaces.get(namespace) ?? new Set()
      namespaces.set(namespace, turns)
      turns.delete(controller_id)
      turns.add(controller_id)
      if (turns.size <= remembered) return
      const [oldest] = turns
      if (oldest !== undefined) turns.delete(oldest)
    },
  }
}
