// Walks all operations of the document as callers of every kind, and says where one gets in who should not, or
// is kept out who should get in.

import type { OpenApiDocument } from '../../src/http/openapi-types.ts'
import { operationsOf, parametersOf } from './openapi.ts'

/** What each operation is for: the actions of which one is enough; `wide` when it is of no single flow. */
export interface Expected {
  any?: readonly string[]
  wide?: true
  /** Any key, or none. */
  key?: true
  open?: true
}

const one = (...any: string[]): Expected => ({ any })
const wide = (action: string): Expected => ({ any: [action], wide: true })
const each = (operations: string, expected: Expected): Record<string, Expected> =>
  Object.fromEntries(operations.split(' ').map((name) => [name, expected]))

const tool = [
  'start',
  'status',
  'advance',
  'wait',
  'finish',
  'fail',
  'cancel',
  'list_mine',
  'resume',
  'signal',
  'events',
].map((action) => `tool:${action}`)

/**
 * Said here once more, and not read from the routes: what a route asks of callers shall not change by
 * accident.
 */
export const expectedAccess: Record<string, Expected> = {
  ...each('getLiveness getReadiness getLink useLink receiveWebhook', { open: true }),
  ...each('getSelf mintKey', { key: true }),
  ...each('callTool describeTool', one(...tool, 'tool:*')),
  ...each('listFlows getFlow explainFlow', one('flows:read')),
  ...each(
    'createFlow createFlows updateFlow startFlow waitFlow moveTimer resumeFlow updateFlowState finishFlow failFlow reopenFlow enqueueStep retryStep skipStep setStepResult',
    one('flows:write'),
  ),
  ...each('requestFlowCancel cancelFlow', one('flows:cancel')),
  ...each('listFlowEvents listEvents streamFlowEvents streamEvents', one('events:read')),
  ...each('listSteps getStep listFlowSteps getFlowStep', one('steps:read')),
  ...each('claimSteps sendHeartbeat releaseStep reportOutcome reportOutcomes', one('steps:work')),
  ...each('observeStep putMemo', one('steps:work', 'flows:write')),
  ...each('getMemo', one('steps:work', 'flows:read')),
  ...each('sendSignal redeliverSignal resumeFlowExternally signalFlow', one('signals:write')),
  ...each('listSignals getSignal', one('signals:read')),
  ...each(
    'createHook listHooks getHook updateHook deleteHook rotateHookSecret testHook listHookDeliveries redeliverHookDeliveries getDelivery redeliverDelivery',
    wide('hooks:admin'),
  ),
  ...each(
    'createSource listSources getSource replaceSource deleteSource testSource listSourceMessages getSourceMessage replaySourceMessage',
    wide('sources:admin'),
  ),
  ...each(
    'putController listControllers getController deleteController',
    wide('controllers:admin'),
  ),
  ...each(
    'createBinding listBindings getBinding updateBinding deleteBinding createKey revokeKey',
    wide('bindings:admin'),
  ),
  ...each('holdFlow liftHold', one('engine:admin')),
  ...each(
    'tickEngine getEngine getMetrics getStorage previewRetention getQueues',
    wide('engine:admin'),
  ),
}

export interface Operation {
  id: string
  method: string
  path: string
  body: unknown
  streams: boolean
}

/** The operations, each with a request that its schema takes. */
export function requestsOf(
  document: OpenApiDocument,
  parameterOf: (name: string, example: unknown) => string,
): Operation[] {
  return operationsOf(document).map(({ method, path, operation }) => {
    const parameters = parametersOf(document, operation)
    const url = path.replace(/\{(\w+)\}/g, (_, name: string) =>
      encodeURIComponent(
        parameterOf(name, parameters.find((parameter) => parameter.name === name)?.example),
      ),
    )
    const example = operation.requestBody?.content['application/json']?.example
    return {
      id: operation.operationId,
      method: method.toUpperCase(),
      path: url,
      body: impatient(example),
      streams: 'x-sse-event' in operation,
    }
  })
}

/** An example that waits for nothing. */
function impatient(example: unknown): unknown {
  if (typeof example !== 'object' || example === null || !('wait' in example)) return example
  return typeof example.wait === 'string' ? { ...example, wait: 'PT0S' } : example
}

export interface Answered {
  status: number
  headers: string
  text: string
}

/** Sends a request; of a stream only what comes at once. */
export async function sendAs(
  base: string,
  key: string | null,
  { method, path, body, streams }: Omit<Operation, 'id'>,
): Promise<Answered> {
  const cut = new AbortController()
  const answer = await fetch(`${base}${path}`, {
    method,
    redirect: 'manual',
    signal: cut.signal,
    headers: {
      ...(key !== null && { authorization: `Bearer ${key}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const headers = JSON.stringify([...answer.headers])
  if (!streams || answer.status !== 200) {
    return { status: answer.status, headers, text: await answer.text() }
  }
  const text = await firstWords(answer)
  cut.abort()
  return { status: answer.status, headers, text }
}

/** What a stream sends in its first moments. */
async function firstWords(answer: Response): Promise<string> {
  const reader = answer.body?.getReader()
  const decoder = new TextDecoder()
  let text = ''
  const late = new Promise<null>((resolve) => setTimeout(resolve, 150, null))
  for (;;) {
    const part = await Promise.race([reader?.read().catch(() => null), late])
    if (!part?.value) return text
    text += decoder.decode(part.value)
  }
}

/** Whether an answer refuses its caller for want of a permission, whatever was asked for. */
function isRefusal({ status, text }: Answered, expected: Expected): boolean {
  if (status === 401) return true
  if (status !== 403) return false
  const { action } = JSON.parse(text) as { action?: string }
  return action !== undefined && (expected.any ?? []).concat('tool:*').includes(action)
}

/**
 * Every operation as a key that is allowed one action and nothing else.
 *
 * @param keys by action.
 * @returns what is wrong; nothing when nothing is.
 */
export async function walkActions(
  base: string,
  operations: readonly Operation[],
  keys: ReadonlyMap<string, string>,
): Promise<string[]> {
  const faults: string[] = []
  for (const operation of operations) {
    const expected = expectedAccess[operation.id]
    if (expected === undefined) {
      faults.push(`${operation.id} is not in the table`)
      continue
    }
    for (const [action, key] of keys) {
      const answer = await sendAs(base, key, operation)
      const allowed =
        expected.any === undefined ||
        action === '*' ||
        expected.any.includes(action) ||
        (action === 'tool:*' && expected.any.some((name) => name.startsWith('tool:')))
      if (answer.status >= 500) faults.push(`${operation.id} by ${action}: ${answer.status}`)
      if (isRefusal(answer, expected) === allowed) {
        faults.push(`${operation.id} by ${action}: ${answer.status} ${answer.text.slice(0, 200)}`)
      }
    }
  }
  return faults
}

/** Every operation as callers whose keys are none: all are refused alike, but where no key is needed. */
export async function walkStrangers(
  base: string,
  operations: readonly Operation[],
  strangers: ReadonlyMap<string, string | null>,
): Promise<string[]> {
  const faults: string[] = []
  for (const operation of operations) {
    for (const [kind, key] of strangers) {
      const { status, text, headers } = await sendAs(base, key, operation)
      const open = expectedAccess[operation.id]?.open === true
      const told = headers.includes('"www-authenticate"') && text.includes('"unauthenticated"')
      if (open ? status === 401 && told : status !== 401 || !told) {
        faults.push(`${operation.id} with ${kind} key: ${status}`)
      }
    }
  }
  return faults
}

/** What is not of single flows, as a caller that may do everything with the flows of one owner. */
export async function walkWide(
  base: string,
  operations: readonly Operation[],
  key: string,
): Promise<string[]> {
  const faults: string[] = []
  for (const operation of operations) {
    const { status } = await sendAs(base, key, operation)
    const wide = expectedAccess[operation.id]?.wide === true
    if (wide && status !== 403) faults.push(`${operation.id}: ${status}`)
  }
  return faults
}
