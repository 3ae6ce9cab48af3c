// Old processes go on while a new release migrates: no migration takes away what the release before it uses.

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const folder = join(import.meta.dirname, '../../migrations')

/**
 * The last migration of the first release. What came before it was never run beside an older release,
 * and on no table with rows in it.
 */
const firstRelease = 18

const rules: { name: string; pattern: RegExp; planted: string }[] = [
  {
    name: 'drops a table',
    pattern: /\bdrop\s+table\b/,
    planted: 'drop table flows;',
  },
  {
    name: 'drops a column',
    pattern: /\bdrop\s+column\b/,
    planted: 'alter table flows drop column goal;',
  },
  {
    name: 'renames',
    pattern: /\brename\s+(to|column|constraint)\b|\brename\s+\w+\s+to\b/,
    planted: 'alter table flows rename goal to purpose;',
  },
  {
    name: 'changes a type, which rewrites the table',
    pattern: /\balter\s+(column\s+)?\w+\s+(set\s+data\s+)?type\b/,
    planted: 'alter table flows alter column goal type varchar(10);',
  },
  {
    name: 'demands a value that old processes do not write',
    pattern: /\bset\s+not\s+null\b/,
    planted: 'alter table flows alter column key set not null;',
  },
  {
    name: 'adds a column that must have a value, without a default',
    pattern:
      /\badd\s+(column\s+)?(?!constraint\b)\w+\s+[^,;]*\bnot\s+null\b(?![^,;]*\bdefault\b)(?<!\bdefault\b[^,;]*)/,
    planted: 'alter table flows add column tenant text not null;',
  },
  {
    name: 'adds a column with a default that is computed for each row, which rewrites the table',
    pattern:
      /\badd\s+(column\s+)?\w+\s+[^,;]*\bdefault\s+(gen_random_uuid|clock_timestamp|random|nextval)\b/,
    planted: 'alter table flows add column nonce uuid not null default gen_random_uuid();',
  },
  {
    name: 'adds a constraint that looks at every row under a lock',
    pattern: /\badd\s+constraint\s+\w+\s+(check|foreign\s+key)\b(?![^;]*\bnot\s+valid\b)/,
    planted: `alter table flows add constraint c check (goal <> '');`,
  },
  {
    name: 'makes an index under a lock that stops all writes',
    pattern: /\bcreate\s+(unique\s+)?index\s+(?!concurrently\b)/,
    planted: 'create index planted on flows (goal);',
  },
  {
    name: 'drops an index under a lock',
    pattern: /\bdrop\s+index\s+(?!concurrently\b)/,
    planted: 'drop index flows_due;',
  },
  {
    name: 'changes all rows at once',
    pattern: /(^|;)\s*(update|delete\s+from|truncate)\b/,
    planted: 'update flows set goal = lower(goal);',
  },
]

/** What a migration does on its way up, without comments, and without what concerns tables of its own. */
function statements(text: string): string[] {
  const up = (text.split('-- Down Migration')[0] ?? '').replaceAll(/--[^\n]*/g, '').toLowerCase()
  const all = up.split(';').map((one) => `${one.trim().replaceAll(/\s+/g, ' ')};`)
  const own = [...up.matchAll(/\bcreate\s+table\s+(?:if\s+not\s+exists\s+)?(\w+)/g)].map(
    ([, table]) => table,
  )
  return all.filter(
    (one) => !own.some((table) => new RegExp(`\\b(on|table|into|update) ${table}\\b`).test(one)),
  )
}

function faults(text: string): string[] {
  return statements(text).flatMap((one) =>
    rules.flatMap(({ name, pattern }) => (pattern.test(one) ? [`${name}: ${one}`] : [])),
  )
}

const migrations = await Promise.all(
  (await readdir(folder))
    .filter((name) => name.endsWith('.sql'))
    .sort()
    .map(async (name) => ({ name, text: await readFile(join(folder, name), 'utf8') })),
)

describe('migrations after the first release', () => {
  it('leave the release before them running', () => {
    const wrong = migrations
      .filter(({ name }) => Number.parseInt(name, 10) > firstRelease)
      .flatMap(({ name, text }) => faults(text).map((fault) => `${name} ${fault}`))
    expect(wrong).toEqual([])
  })

  it.each(rules)('a planted one that $name is found', ({ name, planted }) => {
    const found = faults(`-- Up Migration\n\n${planted}\n\n-- Down Migration\n`)
    expect(found).toEqual([expect.stringContaining(name)])
  })

  it('may do as they like with tables of their own, and take back what they did', () => {
    const text = `-- Up Migration
      -- drop table flows;
      create table jobs (id uuid not null, primary key (id));
      create index jobs_by_id on jobs (id);
      insert into jobs (id) values (gen_random_uuid());
      alter table flows add column jobs integer not null default 0, add column note text;
      alter table flows add constraint c check (jobs >= 0) not valid;
      create index concurrently flows_jobs on flows (jobs);
      -- Down Migration
      drop table jobs;
      alter table flows drop column jobs;`
    expect(faults(text)).toEqual([])
  })

  it('have numbers that rise', () => {
    const numbers = migrations.map(({ name }) => Number.parseInt(name, 10))
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b))
    expect(numbers.length).toBeGreaterThan(10)
  })
})
