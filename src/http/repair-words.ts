// The words of repairs: how values, types and ranges are said in a sentence.

/** No list of allowed values is longer on the wire, nor any of its entries. */
const maxAllowed = 32
const maxEcho = 64

/** Whether a caller's text can stand in a sentence: not too long, and of few words. */
export function canEcho(text: string): boolean {
  return text.length <= maxEcho && text.split(/\s/).length <= 4
}

/** A segment of a JSON Pointer as the name that it stands for. */
export function unescapeSegment(segment: string): string {
  return segment.replaceAll('~1', '/').replaceAll('~0', '~')
}

/** JSON types as they are called in a sentence. */
export const typeNames: Record<string, string> = {
  object: 'an object',
  array: 'an array',
  string: 'a text',
  number: 'a number',
  integer: 'a whole number',
  boolean: 'true or false',
  null: 'null',
}

/** What a value is. */
export function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'boolean') return String(value)
  return typeNames[typeof value] ?? 'nothing'
}

/** A value as a sentence may repeat it. */
export function echo(value: unknown): string {
  if (typeof value === 'string') return canEcho(value) ? `"${value}"` : 'this text'
  return typeof value === 'number' ? String(value) : typeOf(value)
}

/** `a, b or c`. */
export function alternatives(items: readonly string[]): string {
  const last = items[items.length - 1] ?? ''
  return items.length < 2 ? last : `${items.slice(0, -1).join(', ')} or ${last}`
}

/** The bounds of a number's schema, to stand behind `must be`. */
export function rangeOf(schema: Record<string, unknown>): string {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema
  if (minimum !== undefined && maximum !== undefined)
    return `${String(minimum)} to ${String(maximum)}`
  const least = minimum !== undefined ? `${String(minimum)} or more` : ''
  const above = exclusiveMinimum !== undefined ? `more than ${String(exclusiveMinimum)}` : ''
  const most = maximum !== undefined ? `${String(maximum)} or less` : ''
  const below = exclusiveMaximum !== undefined ? `less than ${String(exclusiveMaximum)}` : ''
  return [least, above, most, below].filter((text) => text !== '').join(' and ')
}

/** The first example of a schema, as a sentence's end. */
export function exampleOf(schema: Record<string, unknown>): string {
  const examples = schema['examples']
  const example: unknown = Array.isArray(examples) ? examples[0] : undefined
  return typeof example === 'string' && example.length <= maxEcho ? ` For example: ${example}` : ''
}

/** `one item`, `2 items`. */
export function counted(count: number, noun: string): string {
  return count === 1 ? `one ${noun}` : `${count} ${noun}s`
}

/** A list of allowed values, cut to what an answer should carry. */
export function capped(values: readonly string[]): string[] {
  return values.filter((value) => value.length <= maxEcho).slice(0, maxAllowed)
}

/** The members of an object; none of anything else. */
export function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
