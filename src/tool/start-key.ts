// The business key of a flow that an agent names itself: its own name for it, apart from those of other owners.

import { createHash } from 'node:crypto'

/** What a key of a flow may have. */
const longest = 255

/**
 * Two owners never get the same: what follows the last slash is the agent's own name, which has none
 * of its own, and a hash has no slash at all.
 */
export function keyOf(owner: string, name: string): string {
  const key = `${owner}/${encodeURIComponent(name)}`
  if (key.length <= longest) return key
  return `tool:${createHash('sha256').update(key).digest('base64url')}`
}
