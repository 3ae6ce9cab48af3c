// Tables for people: as narrow as what is in them, and never wider than the terminal.

import { type Output, oneLine } from './terminal.ts'

export interface Column<Row> {
  title: string
  text: (row: Row) => string
  /** It gives up its width when the terminal is too narrow; ids never do, they are copied. */
  shrinks?: boolean
}

const gap = 2
/** No column becomes narrower than this. */
const narrowest = 6

/** How many columns a text takes: East Asian letters and pictures take two, marks none. */
function widthOf(text: string): number {
  let width = 0
  for (const character of text) {
    if (/\p{Mark}|\p{Cf}/u.test(character)) continue
    const wide =
      /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\u3000-\u303f\uff01-\uff60]/u
    width += wide.test(character) ? 2 : 1
  }
  return width
}

/** The text in so many columns, with an ellipsis where something had to go. */
function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text
  let kept = ''
  let used = 0
  for (const character of text) {
    const more = widthOf(character)
    if (used + more > width - 1) break
    kept += character
    used += more
  }
  return `${kept}…`
}

/** The lines of a table, its head first. */
export function tableLines<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  output: Pick<Output, 'columns'>,
): string[] {
  const cells = rows.map((row) => columns.map(({ text }) => oneLine(text(row))))
  const widths = columns.map(({ title }, i) =>
    Math.max(widthOf(title), ...cells.map((line) => widthOf(line[i] ?? ''))),
  )
  if (output.columns !== null) shrink(widths, columns, output.columns)
  const line = (texts: readonly string[]) =>
    texts
      .map((text, i) => {
        const width = widths[i] ?? 0
        const shown = cut(text, width)
        return shown + ' '.repeat(Math.max(0, width - widthOf(shown)))
      })
      .join(' '.repeat(gap))
      .trimEnd()
  return [line(columns.map(({ title }) => title)), ...cells.map(line)]
}

/** Takes from the widest column that shrinks until all fit, or nothing is left to take. */
function shrink<Row>(widths: number[], columns: readonly Column<Row>[], available: number): void {
  const total = () => widths.reduce((sum, width) => sum + width, gap * (widths.length - 1))
  while (total() > available) {
    let widest = -1
    for (const [i, column] of columns.entries()) {
      const width = widths[i] ?? 0
      if (column.shrinks !== true || width <= narrowest) continue
      if (widest === -1 || width > (widths[widest] ?? 0)) widest = i
    }
    if (widest === -1) return
    widths[widest] = (widths[widest] ?? 0) - 1
  }
}
