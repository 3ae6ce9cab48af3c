// A small tag for SQL: values become parameters, fragments nest, and every text is a named statement.

/** A statement or a fragment of one: `strings` surround `values`. */
export interface Sql {
  readonly strings: readonly string[]
  readonly values: readonly unknown[]
}

function isSql(value: unknown): value is Sql {
  return typeof value === 'object' && value !== null && 'strings' in value && 'values' in value
}

/** Builds a statement: `${value}` is a parameter, `${sql`…`}` is spliced in. Nothing else gets into the text. */
export function sql(strings: TemplateStringsArray, ...values: unknown[]): Sql {
  const outStrings: string[] = [strings[0] as string]
  const outValues: unknown[] = []
  values.forEach((value, i) => {
    const after = strings[i + 1] as string
    if (isSql(value)) {
      outStrings[outStrings.length - 1] += value.strings[0] as string
      outStrings.push(...value.strings.slice(1))
      outValues.push(...value.values)
      outStrings[outStrings.length - 1] += after
    } else {
      outValues.push(value)
      outStrings.push(after)
    }
  })
  return { strings: outStrings, values: outValues }
}

/**
 * A value that is worked out once, ahead of the statement. Held to row level security, the server looks up
 * by nothing in an index that is not known to keep what it sees to itself, and `coalesce` is not.
 */
export function ahead(value: Sql): Sql {
  return sql`(select ${value})`
}

/** Text of ours, never of a caller, as a fragment: names of columns, directions. */
export function raw(text: string): Sql {
  return { strings: [text], values: [] }
}

/** Fragments joined by a separator of ours. */
export function join(parts: readonly Sql[], separator: string): Sql {
  return parts.reduce(
    (all, part, i) => (i === 0 ? part : sql`${all}${raw(separator)}${part}`),
    raw(''),
  )
}

const names = new Map<string, string>()

/**
 * The statement as `pg` takes it. The name makes the server parse and plan each text once per
 * connection, which halves its work; the number of texts is bounded by this code, not by callers.
 */
export function prepared(query: Sql): { name: string; text: string; values: unknown[] } {
  let text = query.strings[0] as string
  for (let i = 1; i < query.strings.length; i++) text += `$${i}${query.strings[i]}`
  let name = names.get(text)
  if (name === undefined) {
    name = `tf${names.size}`
    names.set(text, name)
  }
  return { name, text, values: [...query.values] }
}
