// What a variable of the configuration may hold: numbers, durations, switches and texts, each with its default.

import { Type } from 'typebox'
import { parseDuration } from './domain/formats.ts'

/** A text that is read as a number of milliseconds. */
export const duration = (fallback: string, minimum: string, description: string) =>
  Type.Integer({
    format: 'duration',
    default: fallback,
    minimum: parseDuration(minimum),
    description,
  })

/** The same, or off: null. */
export const durationOrOff = (fallback: string, minimum: string, description: string) =>
  Type.Unsafe<number | null>({ ...duration(fallback, minimum, description), off: true })

export const integer = (fallback: number, minimum: number, maximum: number, description: string) =>
  Type.Integer({ default: fallback, minimum, maximum, description })

export const flag = (fallback: boolean, description: string) =>
  Type.Boolean({ default: fallback, description })

export const text = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, description }))

/** A text with a default. */
export const textOf = (fallback: string, description: string) =>
  Type.String({ default: fallback, minLength: 1, description })

/** One of a few words, with a default. */
export const oneOf = <Word extends string>(
  words: readonly [Word, ...Word[]],
  description: string,
) =>
  Type.Union(
    words.map((word) => Type.Literal(word)),
    { default: words[0], description },
  )
