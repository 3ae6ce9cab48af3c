// Generates clients from the OpenAPI documents in openapi/, as their users would, and type-checks them.

import { execFile } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const checkout = join(import.meta.dirname, '../..')

/** Runs in the folder of the output, so that no configuration of this checkout has a say. */
const run = (cwd: string, tool: string, args: string[]) =>
  promisify(execFile)(join(checkout, 'node_modules/.bin', tool), args, { cwd })

export type Edition = 'openapi' | 'openapi-3.0'

/** A folder for generated code, empty. It lies in the checkout so that packages are found from it. */
export async function emptyFolder(name: string): Promise<string> {
  const folder = join(checkout, 'coverage/clients', name)
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }\n')
  return folder
}

const documentOf = (edition: Edition) => join(checkout, 'openapi', `${edition}.json`)

/** What each generator is told. Each writes into the folder, as `<name>.ts` or `<name>/`. */
export const generators = {
  'openapi-typescript': (edition: Edition, folder: string) =>
    run(folder, 'openapi-typescript', [documentOf(edition), '-o', 'openapi-typescript.ts']),
  'hey-api': (edition: Edition, folder: string) =>
    run(folder, 'openapi-ts', [
      ...['--input', documentOf(edition), '--output', 'hey-api'],
      ...['--client', '@hey-api/client-fetch', '--silent', '--no-log-file'],
    ]),
  oazapfts: (edition: Edition, folder: string) =>
    run(folder, 'oazapfts', [documentOf(edition), 'oazapfts.ts']),
}

/** Compiles everything in the folder with `tsc --strict`; answers its complaints, none when empty. */
export async function complaintsOf(folder: string): Promise<string> {
  const config = {
    compilerOptions: {
      target: 'ES2022',
      module: 'NodeNext',
      lib: ['ES2022', 'DOM', 'DOM.Iterable'],
      types: [],
      strict: true,
      skipLibCheck: true,
      noEmit: true,
    },
    include: ['**/*.ts'],
  }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config))
  return run(folder, 'tsc', ['-p', '.']).then(
    () => '',
    (error: { stdout: string }) => error.stdout,
  )
}
