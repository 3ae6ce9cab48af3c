// Knows every path of the service, for the answers to requests that have none.

import { FlowError } from '../domain/errors.ts'
import { distance } from '../domain/nearest.ts'

export interface RouteTable {
  add(method: string | readonly string[], url: string): void
  /** The methods that a path takes, sorted, with OPTIONS; empty when there is no such path. */
  methodsOf(path: string): string[]
  /** The nearest path, with the parts of the request where the route has parameters. */
  nearestTo(path: string): string | undefined
}

/** Longer paths are not compared. */
const maxPath = 512
const maxSegments = 12

export function routeTable(): RouteTable {
  const routes = new Map<string, { segments: string[]; methods: Set<string> }>()

  return {
    add(method, url) {
      const route = routes.get(url) ?? { segments: segmentsOf(url), methods: new Set<string>() }
      for (const each of [method].flat()) route.methods.add(each)
      routes.set(url, route)
    },
    methodsOf(path) {
      const segments = segmentsOf(path)
      const methods = [...routes.values()]
        .filter((route) => matches(route.segments, segments))
        .flatMap((route) => [...route.methods])
      return methods.length === 0 ? [] : [...new Set([...methods, 'OPTIONS'])].sort()
    },
    nearestTo(path) {
      if (path.length > maxPath) return undefined
      const segments = segmentsOf(path).filter((segment) => segment !== '')
      if (segments.length > maxSegments) return undefined
      let best: string | undefined
      let least = Number.POSITIVE_INFINITY
      for (const { segments: pattern } of routes.values()) {
        if (pattern.includes('*')) continue
        // The second form is for a prefix that others have and this service does not: /v1/flows.
        for (const [tried, penalty] of [[segments, 0] as const, [segments.slice(1), 1] as const]) {
          const far = unlikeness(pattern, tried)
          if (far === null || far + penalty >= least) continue
          least = far + penalty
          best = fill(pattern, tried)
        }
      }
      return best
    },
  }
}

function segmentsOf(path: string): string[] {
  return path.split('/').slice(1)
}

function matches(pattern: readonly string[], segments: readonly string[]): boolean {
  const wild = pattern[pattern.length - 1] === '*'
  if (wild ? segments.length < pattern.length : segments.length !== pattern.length) return false
  return pattern.every(
    (part, i) => part === '*' || (part.startsWith(':') ? segments[i] !== '' : part === segments[i]),
  )
}

/** How far a path is from a pattern, or null when it is too far to have been meant. */
function unlikeness(pattern: readonly string[], segments: readonly string[]): number | null {
  if (pattern.length !== segments.length || segments.length === 0) return null
  let sum = 0
  for (const [i, part] of pattern.entries()) {
    const segment = segments[i] ?? ''
    if (part.startsWith(':')) continue
    if (segment.length > 64) return null
    const far = distance(segment, part)
    if (far > Math.max(1, Math.floor(part.length / 3))) return null
    sum += far
  }
  return sum
}

function fill(pattern: readonly string[], segments: readonly string[]): string {
  const parts = pattern.map((part, i) => {
    const segment = segments[i] ?? ''
    if (!part.startsWith(':')) return part
    // A secret is not repeated.
    if (part === ':token') return '{token}'
    return segment.length <= 64 ? segment : `{${part.slice(1)}}`
  })
  return `/${parts.join('/')}`
}

/** What to answer to a request that no route takes. */
export function unroutable(table: RouteTable, method: string, path: string): FlowError {
  const allowed = table.methodsOf(path)
  if (allowed.length > 0) {
    return new FlowError(
      'method_not_allowed',
      `This path takes ${allowed.filter((each) => each !== 'OPTIONS').join(', ')}, not ${method}.`,
      { allowed },
    )
  }
  const meant = table.nearestTo(path)
  return meant === undefined
    ? new FlowError('not_found', 'There is no such path: all of them are at /docs.', {})
    : new FlowError(
        'not_found',
        `There is no such path. Did you mean ${meant}? All are at /docs.`,
        {
          did_you_mean: meant,
        },
      )
}
