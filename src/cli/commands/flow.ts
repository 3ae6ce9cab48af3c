// `taskflow flow`: everything about flows.

import type { Family } from '../family.ts'
import { addFlowChanges } from './flow-changes.ts'
import { addFlowReads } from './flow-reads.ts'

const examples = `Examples:
  taskflow flow list --status waiting --wait-topic payment.settled
  taskflow flow wait 019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15 --for P14D
`

export const addFlow: Family = (program, terminal) => {
  const flow = program
    .command('flow')
    .alias('flows')
    .description('flows: make, look at, move')
    .addHelpText('before', examples)
  addFlowReads(flow, terminal)
  addFlowChanges(flow, terminal)
}
