// Lists: one page, or all of them, as a table or as JSON.

import type { Command } from 'commander'
import { wholeNumber } from './input.ts'
import { type Answer, query } from './request.ts'
import type { Session } from './session.ts'
import { commandLine } from './shell.ts'
import type { Column } from './table.ts'

export interface PageOptions {
  limit?: number
  cursor?: string
  all?: boolean
}

interface Page<Row> {
  items: Row[]
  next_cursor: string | null
}

/** The most that one request answers. */
const largestPage = 200

/** Adds the options of a list. */
export function paged(command: Command): Command {
  return command
    .option('--limit <n>', 'how many to show (50)', wholeNumber)
    .option('--cursor <cursor>', 'go on behind the page that ended with this cursor')
    .option('--all', 'all pages, one after the other; --limit is then the size of one')
}

/** Shows a list. With `--all` the JSON is one document with the items of all pages. */
export async function showList<Row>(
  session: Session,
  address: string,
  filter: Readonly<Record<string, string | readonly string[] | undefined>>,
  options: PageOptions,
  columns: readonly Column<Row>[],
  empty: string,
): Promise<void> {
  const { all = false } = options
  const limit = options.limit ?? (all ? largestPage : undefined)
  const fetchPage = (cursor: string | undefined) =>
    session.send({
      method: 'GET',
      path: address + query({ ...filter, limit: limit?.toString(), cursor }),
    })
  let answer = await fetchPage(options.cursor)
  if (!all) {
    const page = pageOf<Row>(answer)
    session.show(answer, () => rowsOrWord(session, page.items, columns, empty))
    if (page.next_cursor !== null && !session.settings.json) {
      session.tell(`more: add ${commandLine('--cursor', page.next_cursor)}, or --all`)
    }
    return
  }
  const rows: Row[] = []
  for (;;) {
    const page = pageOf<Row>(answer)
    rows.push(...page.items)
    if (page.next_cursor === null) break
    answer = await fetchPage(page.next_cursor)
  }
  if (session.settings.json)
    return session.print(JSON.stringify({ items: rows, next_cursor: null }))
  for (const line of rowsOrWord(session, rows, columns, empty)) session.print(line)
}

function pageOf<Row>(answer: Answer): Page<Row> {
  return JSON.parse(answer.text)
}

function rowsOrWord<Row>(
  session: Session,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  empty: string,
): string[] {
  if (rows.length > 0) return session.table(rows, columns)
  session.tell(empty)
  return []
}
