// Clients generated from the OpenAPI documents compile under `tsc --strict`, and catch wrong uses.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { complaintsOf, type Edition, emptyFolder, generators } from '../support/clients.ts'
import { heyApiProgram, oazapftsProgram, openapiFetchProgram } from '../support/walk-through.ts'

const editions: Edition[] = ['openapi', 'openapi-3.0']

describe.each(editions)('clients of %s.json', (edition) => {
  it('compile, and so do programs that use them', { timeout: 120_000 }, async () => {
    const folder = await emptyFolder(`of-${edition}`)
    await Promise.all(Object.values(generators).map((generate) => generate(edition, folder)))
    await Promise.all([
      writeFile(join(folder, 'use-hey-api.ts'), heyApiProgram),
      writeFile(join(folder, 'use-openapi-fetch.ts'), openapiFetchProgram),
      writeFile(join(folder, 'use-oazapfts.ts'), oazapftsProgram),
    ])
    expect(await complaintsOf(folder)).toBe('')
  })
})
