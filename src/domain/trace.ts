// The W3C Trace Context of whoever caused something: kept as text, and handed on as it is.

/** `00-<trace>-<span>-<flags>`: the value of a `traceparent` header. */
export type Traceparent = string

const pattern =
  /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?<rest>-.*)?$/

/** Long enough for any version to come that begins as this one does. */
const longest = 512

/**
 * Reads a header. Null for one that is not valid: who sends it has no trace, and is told nothing of it, as
 * the recommendation asks. One of a later version is read as far as this version knows it.
 */
export function readTraceparent(text: string | undefined): Traceparent | null {
  if (text === undefined || text.length > longest) return null
  const found = pattern.exec(text)
  if (found === null) return null
  if (text.startsWith('00-')) return found.groups?.['rest'] === undefined ? text : null
  return `00${text.slice(2, 55)}`
}
