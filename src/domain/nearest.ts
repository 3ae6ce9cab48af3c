// The nearest right word to a wrong one, for "Did you mean …?".

/** Longer words are not compared: the distance costs the product of the lengths. */
const maxLength = 64

/** Case, hyphens, underscores, points and spaces do not count: `correlationId` is `correlation_id`. */
function fold(word: string): string {
  return word.toLowerCase().replace(/[-_.\s]/g, '')
}

/**
 * The Damerau-Levenshtein distance of two words (insert, delete, replace, swap of neighbours; no
 * part is edited twice), in their folded form.
 */
export function distance(left: string, right: string): number {
  const a = fold(left)
  const b = fold(right)
  let before: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  const at = (cells: number[], j: number) => cells[j] ?? 0
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const differs = a[i - 1] === b[j - 1] ? 0 : 1
      let least = Math.min(at(row, j) + 1, at(next, j - 1) + 1, at(row, j - 1) + differs)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, at(before, j - 2) + 1)
      }
      next.push(least)
    }
    before = row
    row = next
  }
  return at(row, b.length)
}

/**
 * The candidate that a wrong word most probably meant, or undefined when none is near.
 *
 * Near is a third of the letters, at least one; failing that, a candidate that begins or ends with
 * the word (`owner` for `owner_session_key`), if there is just one of that kind.
 */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  if (word.length === 0 || word.length > maxLength) return undefined
  const folded = fold(word)
  const allowance = Math.max(1, Math.floor(folded.length / 3))
  let best: string | undefined
  let least = allowance + 1
  for (const candidate of candidates) {
    if (candidate.length > maxLength) continue
    const far = distance(word, candidate)
    // A word of which nothing is left is not a slip of the pen.
    if (far < least && far < Math.max(folded.length, 1)) {
      best = candidate
      least = far
    }
  }
  if (best !== undefined || folded.length < 3) return best
  const partly = candidates.filter((candidate) => {
    const other = fold(candidate)
    return other.startsWith(folded) || other.endsWith(folded)
  })
  return partly.length === 1 ? partly[0] : undefined
}
