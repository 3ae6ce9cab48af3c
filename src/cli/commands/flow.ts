// `taskflow flow`: everything about flows.

import type { Family } from '../family.ts'
import { addFlowChanges } from './flow-changes.ts'
import { addFlowReads } from './flow-reads.ts'

export const addFlow: Family = (program, terminal) => {
  const flow = program.command('flow').alias('flows').description('flows: make, look at, move')
  addFlowReads(flow, terminal)
  addFlowChanges(flow, terminal)
}
