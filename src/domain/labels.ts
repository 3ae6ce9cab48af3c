// Labels of a flow and their changes.

import type { Decision } from './command.ts'
import type { Draft } from './draft.ts'
import { FlowError } from './errors.ts'

/** Labels after a change: given ones replace, null removes. Throws `limit_exceeded` past `maximum` labels. */
export function mergeLabels(
  labels: Record<string, string>,
  given: Record<string, string | null>,
  maximum: number,
): Record<string, string> {
  const kept = Object.entries({ ...labels, ...given }).filter(
    (entry): entry is [string, string] => entry[1] !== null,
  )
  if (kept.length > maximum) {
    throw new FlowError(
      'limit_exceeded',
      `A flow can have ${maximum} labels: remove some by setting them to null.`,
      { limit: 'labels', maximum, actual: kept.length },
    )
  }
  return Object.fromEntries(kept)
}

/** Changes labels, in every status. What is so already changes nothing. */
export function updateLabels(
  { flow, limits, change, unchanged }: Draft,
  given: Record<string, string | null>,
): Decision {
  const labels = mergeLabels(flow.labels, given, limits.labels)
  const known = (name: string) => (Object.hasOwn(flow.labels, name) ? flow.labels[name] : null)
  if (Object.entries(given).every(([name, value]) => known(name) === value)) {
    return unchanged('unchanged')
  }
  return change('labels_updated', { labels: { ...given } }, { labels })
}
