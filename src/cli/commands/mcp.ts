// `taskflow mcp`: what an MCP client starts when it knows stdio alone.

import type { Family } from '../family.ts'
import { act } from '../session.ts'

export const addMcp: Family = (program, terminal) => {
  program
    .command('mcp')
    .description('speak MCP on the standard streams, for the service and as its key says')
    .option('--session <name>', 'whose flows, when the key has no owner; else TASKFLOW_SESSION')
    .action(
      act(terminal, async ({ settings, tell }, options: { session?: string }) => {
        const { runStdio } = await import('../../mcp/stdio.ts')
        const session = options.session ?? terminal.env['TASKFLOW_SESSION']
        await runStdio({
          url: settings.base,
          ...(settings.key !== undefined && { key: settings.key }),
          ...(session && { session }),
          // The standard output belongs to the protocol.
          log: (line) => tell(`taskflow mcp: ${line}`),
        })
      }),
    )
}
