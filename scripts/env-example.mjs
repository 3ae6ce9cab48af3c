// Writes .env.example from the configuration's schema, so that the two cannot differ.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { envExample } from '../dist/config.js'

writeFileSync(join(import.meta.dirname, '..', '.env.example'), envExample())
