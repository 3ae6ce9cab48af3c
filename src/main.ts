// The service as a process: with no argument it serves. Under process managers and in images.

import { runProcess } from './process.ts'

await runProcess(['serve'])
