// JSON as the domain sees it: types, the shallow merge of a state, and sizes.

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject
export interface JsonObject {
  [member: string]: JsonValue
}

/** A change of a state: members to set, then members to remove. */
export interface StatePatch {
  merge: JsonObject
  unset: string[]
}

/**
 * Applies a patch to a state: top-level members of `merge` replace those of the state, then the
 * members named in `unset` go. Neither argument is changed.
 *
 * The same rule as `(state || merge) - unset` in SQL. Spread defines members and never calls a
 * setter, so `__proto__` stays plain data.
 */
export function applyPatch(state: JsonObject, patch: StatePatch): JsonObject {
  const next = { ...state, ...patch.merge }
  for (const member of patch.unset) delete next[member]
  return next
}

/** JSON with the members of every object in the order of their names: the same for equal values. */
export function canonicalJson(value: unknown): string {
  if (value === undefined) return ''
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`).join()}}`
}

/** The size of a value as compact JSON in UTF-8, in bytes. */
export function jsonBytes(value: JsonValue): number {
  return utf8Bytes(JSON.stringify(value))
}

/** The length of a text in UTF-8, in bytes. */
export function utf8Bytes(text: string): number {
  let bytes = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) continue
    // A surrogate pair is two units and four bytes, so each half adds one to its own count.
    bytes += unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2
  }
  return bytes
}

/** Whether two JSON values are equal; the order of members does not count. */
export function jsonEqual(a: JsonValue, b: JsonValue): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b)) {
    return (
      Array.isArray(a) &&
      Array.isArray(b) &&
      a.length === b.length &&
      a.every((item, i) => jsonEqual(item, b[i] as JsonValue))
    )
  }
  const keys = Object.keys(a)
  return (
    keys.length === Object.keys(b).length &&
    keys.every(
      (key) => Object.hasOwn(b, key) && jsonEqual(a[key] as JsonValue, b[key] as JsonValue),
    )
  )
}
