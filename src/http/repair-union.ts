// Which of a validator's errors to tell: the one nearest to what the sender meant.

import type { ErrorObject } from 'ajv'

/**
 * The error that says most. Without unions there is one. For a union without a tag there is one per
 * branch and then that of the union: the branch that got furthest into the input wins, since it is
 * the one that the sender had in mind; among equals one that is not about the type.
 */
export function branchError(errors: readonly ErrorObject[]): ErrorObject | undefined {
  const last = errors[errors.length - 1]
  if (last === undefined || (last.keyword !== 'anyOf' && last.keyword !== 'oneOf')) {
    return last?.keyword === 'propertyNames' ? errors[0] : last
  }
  const branches = errors.slice(0, -1)
  // Several branches of a `oneOf` matched: none of them has an error.
  if (branches.length === 0) return last
  const score = (error: ErrorObject) =>
    error.instancePath.split('/').length * 4 +
    (error.keyword === 'type' ? 0 : error.keyword === 'const' || error.keyword === 'enum' ? 1 : 2)
  return branches.reduce((best, error) => (score(error) > score(best) ? error : best))
}

/** The types that would do at the place of a type error, over all branches of its union. */
export function wantedTypes(error: ErrorObject, errors: readonly ErrorObject[]): string[] {
  const types = errors
    .filter((other) => other.keyword === 'type' && other.instancePath === error.instancePath)
    .flatMap((other): unknown[] => (Array.isArray(other.schema) ? other.schema : [other.schema]))
  return [...new Set(types.map(String))]
}
