#!/usr/bin/env node
// The command line as a process: with no argument it says what it can do.

import { runProcess } from './process.ts'

await runProcess(['help'])
