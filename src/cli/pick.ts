// One member of a JSON document, by a path such as `.items[0].id`.

import { misuse } from './errors.ts'

/** The member as text: texts without quotes, all else as JSON. */
export function pick(document: string, path: string): string {
  let value: unknown = JSON.parse(document)
  for (const step of stepsOf(path)) {
    const next = memberOf(value, step)
    if (next === undefined) {
      const has =
        typeof value === 'object' && value !== null
          ? Object.keys(value).slice(0, 20).join(', ')
          : ''
      throw misuse(
        `the answer has no ${path}`,
        has === '' ? 'Nothing is below that.' : `There is ${has}.`,
        'the same without --pick shows all of it',
      )
    }
    value = next
  }
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function memberOf(value: unknown, step: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
  return (value as Record<string, unknown>)[step]
}

function stepsOf(path: string): string[] {
  if (!/^(\.?[^.[\]]+|\[\d+\])(\.[^.[\]]+|\[\d+\])*$/.test(path)) {
    throw misuse(
      `--pick ${path} is not a path`,
      'It names members and places.',
      '--pick .items[0].id',
    )
  }
  return path.split(/[.[\]]/).filter((step) => step !== '')
}
