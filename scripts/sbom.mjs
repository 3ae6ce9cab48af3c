// Writes the bill of materials of a release, sbom.cdx.json (CycloneDX): every package that runs in production, with its version, license and hash.

import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const read = (/** @type {string} */ name) => JSON.parse(readFileSync(join(root, name), 'utf8'))
const manifest = read('package.json')

const text = execFileSync(
  'npm',
  [
    'sbom',
    '--sbom-format',
    'cyclonedx',
    '--sbom-type',
    'application',
    '--omit',
    'dev',
    '--package-lock-only',
  ],
  { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, shell: process.platform === 'win32' },
)
const bill = JSON.parse(text)
// npm names it after the folder.
bill.metadata.component.name = manifest.name

// What the lock file says is installed for production has to be in it, or it would be worse than none.
const told = new Set(
  bill.components.map((/** @type {{ purl: string }} */ { purl }) =>
    decodeURIComponent(purl.split('?')[0] ?? ''),
  ),
)
const missing = Object.entries(read('package-lock.json').packages)
  .filter(([path, { dev, link }]) => path !== '' && !dev && !link)
  .map(
    ([path, { name, version }]) =>
      `pkg:npm/${name ?? path.split('node_modules/').at(-1)}@${version}`,
  )
  .filter((purl) => !told.has(purl))
if (missing.length > 0) {
  process.stderr.write(`The bill of materials lacks ${missing.join(', ')}.\n`)
  process.exit(1)
}
writeFileSync(join(root, 'sbom.cdx.json'), `${JSON.stringify(bill, null, 2)}\n`)
process.stdout.write(
  `sbom.cdx.json: ${bill.components.length} packages of ${manifest.name} ${manifest.version}\n`,
)
