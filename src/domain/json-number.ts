// Whether a JSON number survives being a double.

/**
 * Whether a double is, in its shortest form, the very decimal that was written.
 *
 * `0.1`, `1.0`, `1e2` and `9007199254740992` are; `9007199254740993`, `1e400` and a pi of thirty
 * digits are not: whoever reads them back would get another number than was sent.
 *
 * @param written a number in the grammar of JSON.
 * @param value `Number(written)`.
 */
export function isExact(written: string, value: number): boolean {
  if (!Number.isFinite(value)) return false
  const shortest = String(value)
  if (shortest === written) return true
  const a = normalize(written)
  const b = normalize(shortest)
  return a.digits === b.digits && a.exponent === b.exponent
}

/** The value as `digits × 10^exponent`, without leading and trailing zeros and without its sign. */
function normalize(written: string): { digits: string; exponent: number } {
  const [mantissa = '', power = '0'] = written.toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.')
  const all = whole + fraction
  let first = 0
  while (first < all.length && all[first] === '0') first++
  if (first === all.length) return { digits: '', exponent: 0 }
  let end = all.length
  while (all[end - 1] === '0') end--
  return {
    digits: all.slice(first, end),
    exponent: Number(power) - fraction.length + (all.length - end),
  }
}
