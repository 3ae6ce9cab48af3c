// Pages of lists.

export interface PageRequest {
  limit: number
  /** The `next_cursor` of the page before. */
  cursor?: string
}

export interface Page<Item> {
  items: Item[]
  next_cursor: string | null
}

/** One item more than the limit was asked for: it tells whether there is another page. */
export function pageOf<Item>(
  found: Item[],
  limit: number,
  cursorOf: (last: Item) => string,
): Page<Item> {
  const items = found.slice(0, limit)
  const last = items.at(-1)
  return {
    items,
    next_cursor: found.length > limit && last !== undefined ? cursorOf(last) : null,
  }
}
