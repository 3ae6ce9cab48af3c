// `taskflow step`: work of flows, and its repair.

import type { Step } from '../../contract/step.ts'
import { type ChangeOptions, changingFlow, sendChange } from '../change.ts'
import type { Family } from '../family.ts'
import { gather, objectText, readJson } from '../input.ts'
import { type PageOptions, paged, showList } from '../paging.ts'
import { path } from '../request.ts'
import { act } from '../session.ts'
import { stepColumns, stepWords } from '../words.ts'

interface ListOptions extends PageOptions {
  status?: string[]
  task?: string
  controller?: string
  flow?: string
}

const examples = `Examples:
  taskflow step list --status failed
  taskflow step retry 019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15
`

export const addStep: Family = (program, terminal) => {
  const step = program
    .command('step')
    .alias('steps')
    .description('steps: look at, and repair')
    .addHelpText('before', examples)

  paged(
    step
      .command('list')
      .alias('ls')
      .description('list steps; dead ones are those with --status failed')
      .option('--status <status>', 'in this status; may be repeated', gather)
      .option('--task <task>', 'of this task')
      .option('--controller <id>', 'of flows of this controller')
      .option('--flow <id>', 'of this flow'),
  ).action(
    act(terminal, async (session, options: ListOptions) => {
      const filter = {
        status: options.status,
        task: options.task,
        controller_id: options.controller,
        flow_id: options.flow,
      }
      await showList(session, '/steps', filter, options, stepColumns, 'No steps.')
    }),
  )

  step
    .command('show <step>')
    .alias('get')
    .description('show one')
    .action(
      act(terminal, async (session, id: string) => {
        const answer = await session.send({ method: 'GET', path: path('steps', id) })
        session.show<Step>(answer, stepWords)
      }),
    )

  changingFlow(step.command('retry <step>').description('put a dead step back to pending')).action(
    act(terminal, async (session, id: string, options: ChangeOptions) => {
      const answer = await sendChange(session, path('steps', id, 'retry'), options)
      session.show<Step>(answer, stepWords)
    }),
  )

  changingFlow(
    step
      .command('skip <step>')
      .description('settle a step without a result, so that its flow goes on')
      .option('--reason <text>', 'why'),
  ).action(
    act(terminal, async (session, id: string, options: ChangeOptions & { reason?: string }) => {
      const body = objectText({ reason: options.reason })
      const answer = await sendChange(session, path('steps', id, 'skip'), options, body)
      session.show<Step>(answer, stepWords)
    }),
  )

  changingFlow(
    step
      .command('result <step>')
      .description('settle a step with a result of your own')
      .requiredOption('--result <json>', 'the result: JSON, @FILE or - for the standard input'),
  ).action(
    act(terminal, async (session, id: string, options: ChangeOptions & { result: string }) => {
      const body = objectText({ result: await readJson(options.result, '--result', terminal) })
      const answer = await sendChange(session, path('steps', id, 'result'), options, body)
      session.show<Step>(answer, stepWords)
    }),
  )
}
