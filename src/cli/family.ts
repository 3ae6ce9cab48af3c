// What a file in `commands/` gives to the tree of commands, and where the release is.

import { join } from 'node:path'
import type { Command } from 'commander'
import type { Terminal } from './terminal.ts'

/**
 * Adds a command with all that belongs to it. What is heavy (the service, the database) is imported
 * by the action that needs it: `flow list` must not wait for it.
 */
export type Family = (program: Command, terminal: Terminal, run: Run) => void

/** Runs a command line and answers its exit code. */
export type Run = (argv: readonly string[], terminal: Terminal) => Promise<number>

/** The checkout, or the folder of the installed package. */
export const root = join(import.meta.dirname, '../..')
