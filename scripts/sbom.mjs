// Writes the bill of materials of a release, sbom.cdx.json (CycloneDX): every package that runs in production, with its version, license and hash.

import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const read = (/** @type {string} */ name) => JSON.parse(readFileSync(join(root, name), 'utf8'))
const manifest = read('package.json')

// Of everything, and what is for development taken out here: told to omit that, npm leaves out what
// production and development share as well.
const text = execFileSync(
  'npm',
  ['sbom', '--sbom-format', 'cyclonedx', '--sbom-type', 'application', '--package-lock-only'],
  {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    shell: process.platform === 'win32',
  },
)
const bill = JSON.parse(text)

/** What the lock file says is installed for production. */
const wanted = new Set(
  Object.entries(read('package-lock.json').packages)
    .filter(([path, { dev, link }]) => path !== '' && !dev && !link)
    .map(
      ([path, { name, version }]) =>
        `pkg:npm/${name ?? path.split('node_modules/').at(-1)}@${version}`,
    ),
)
const nameOf = (/** @type {{ purl: string }} */ { purl }) =>
  decodeURIComponent(purl.split('?')[0] ?? '')
bill.components = bill.components.filter((/** @type {{ purl: string }} */ one) =>
  wanted.has(nameOf(one)),
)
const told = new Set(bill.components.map(nameOf))
const missing = [...wanted].filter((name) => !told.has(name))
if (missing.length > 0) {
  process.stderr.write(`The bill of materials lacks ${missing.join(', ')}.\n`)
  process.exit(1)
}

const component = bill.metadata.component
const refs = new Set(
  [component, ...bill.components].map((/** @type {{ 'bom-ref': string }} */ one) => one['bom-ref']),
)
bill.dependencies = bill.dependencies
  .filter((/** @type {{ ref: string }} */ { ref }) => refs.has(ref))
  .map((/** @type {{ ref: string, dependsOn: string[] }} */ { ref, dependsOn }) => ({
    ref,
    dependsOn: dependsOn.filter((one) => refs.has(one)),
  }))
// npm names it after the folder.
component.name = manifest.name
writeFileSync(join(root, 'sbom.cdx.json'), `${JSON.stringify(bill, null, 2)}\n`)
process.stdout.write(
  `sbom.cdx.json: ${told.size} packages of ${manifest.name} ${manifest.version}\n`,
)
