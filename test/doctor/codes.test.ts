// What the doctor can find is what docs/cli.md tells, code by code.

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const checkout = join(import.meta.dirname, '../..')

async function codesOfSource(): Promise<string[]> {
  const folder = join(checkout, 'src/doctor')
  const names = await readdir(folder)
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))
  const found = [...texts.join('\n').matchAll(/\b(?:fault|warning)\(\s*'([a-z_]+)'/g)]
  // These are named by the setting that is wrong.
  const timeouts = ['statement_timeout', 'idle_session_timeout', 'transaction_timeout']
  return [...new Set([...found.map(([, code = '']) => code), ...timeouts])].toSorted()
}

it('is documented', async () => {
  const page = await readFile(join(checkout, 'docs/cli.md'), 'utf8')
  const table = page.split('| code | what it finds |')[1]?.split('\n\n')[0] ?? ''
  const told = table
    .split('\n')
    .flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([a-z_]+)`/g)])
    .map(([, code = '']) => code)
  const known = await codesOfSource()
  expect(known.length).toBeGreaterThan(45)
  expect(told.toSorted()).toEqual(known)
})
