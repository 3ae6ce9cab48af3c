// The link that a wait on the wire asks for, in the engine's words.

import type { WaitRequest } from '../contract/wait.ts'
import { parseDuration } from '../domain/formats.ts'
import type { LinkSpec } from '../engine/links.ts'

/** The link that a wait request asks for, if it does. */
export function linkSpec({ link }: WaitRequest, pointer = ''): LinkSpec | undefined {
  if (link === undefined || link === false) return undefined
  if (link === true) return {}
  const { ttl, schema } = link
  return {
    ...(ttl !== undefined && { ttl: parseDuration(ttl, `${pointer}/link/ttl`) }),
    ...(schema !== undefined && { schema }),
  }
}
