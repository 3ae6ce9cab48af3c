// `taskflow api` calls any operation by its operationId, or any request by its method and path.

import { Ended, exits, misuse } from '../errors.ts'
import { type Family, root } from '../family.ts'
import { gather, type JsonText, objectText, readJson } from '../input.ts'
import { callOf, findOperation, type Operation, readOperations } from '../operations.ts'
import { pick } from '../pick.ts'
import { refusal } from '../refusal.ts'
import { type Call, type Method, open } from '../request.ts'
import { act, type Session } from '../session.ts'
import { asCurl } from '../shell.ts'

interface ApiOptions {
  param?: string[]
  field?: string[]
  input?: string
  pick?: string
}

const methods: readonly string[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

const examples = `Examples:
  taskflow api listFlows -p status=waiting -p label.tier=gold --pick .items[0].id
  taskflow api PATCH /flows/019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15 --input '{"labels":{"tier":"gold"}}'
`

export const addApi: Family = (program, terminal) => {
  program
    .command('api [operation] [path]')
    .description('call any operation by its operationId, or METHOD PATH; alone, list all')
    .addHelpText('before', examples)
    .option('-p, --param <name=value>', 'a parameter of path, query or header', gather)
    .option('-f, --field <name=value>', 'a member of the body: JSON, else taken as text', gather)
    .option('--input <json>', 'the body: JSON, @FILE, or - for the standard input')
    .option('--pick <path>', 'print one member of the answer, as .items[0].id')
    .action(act(terminal, callApi))
}

async function callApi(
  session: Session,
  name: string | undefined,
  address: string | undefined,
  options: ApiOptions,
): Promise<void> {
  if (name === undefined) return listOperations(session)
  const body = await bodyOf(options, session)
  const given = (options.param ?? []).map((text) => pairOf(text, '--param'))
  const call =
    address === undefined
      ? callOf(findOperation(readOperations(root), name), given, body)
      : rawCall(name, address, body)
  if (call.stream === true) return copyStream(session, call)
  const answer = await session.send(call)
  if (options.pick !== undefined) return session.print(pick(answer.text, options.pick))
  if (answer.text !== '') session.print(answer.text.replace(/\n+$/, ''))
}

function listOperations(session: Session): void {
  const operations = readOperations(root)
  if (session.settings.json) {
    const known = operations.map(({ id, method, path, summary }) => ({ id, method, path, summary }))
    session.print(JSON.stringify({ items: known, next_cursor: null }))
    return
  }
  const lines = session.table<Operation>(operations, [
    { title: 'OPERATION', text: ({ id }) => id },
    { title: 'REQUEST', text: ({ method, path }) => `${method} ${path}` },
    { title: 'SUMMARY', text: ({ summary }) => summary, shrinks: true },
  ])
  for (const line of lines) session.print(line)
}

function rawCall(method: string, path: string, body: string | undefined): Call {
  const word = method.toUpperCase()
  if (methods.includes(word) && path.startsWith('/')) {
    return { method: word as Method, path, ...(body !== undefined && { body }) }
  }
  throw misuse(
    `"${method} ${path}" is not a request`,
    `It takes a method (${methods.join(', ')}) and a path that begins with /.`,
    'taskflow api GET /flows',
  )
}

async function bodyOf(options: ApiOptions, session: Session): Promise<string | undefined> {
  if (options.input !== undefined && options.field !== undefined) {
    throw misuse(
      '--input and --field do not go together',
      'The first is the whole body, the second a member of it.',
      'taskflow api --help',
    )
  }
  if (options.input !== undefined) {
    return (await readJson(options.input, '--input', session.terminal)).text
  }
  if (options.field === undefined) return undefined
  const members = options.field.map((text) => {
    const [name, value] = pairOf(text, '--field')
    return [name, fieldValue(value)] as const
  })
  return objectText(Object.fromEntries(members))
}

function fieldValue(text: string): JsonText | string {
  try {
    return { text, value: JSON.parse(text) }
  } catch {
    return text
  }
}

function pairOf(text: string, flag: string): [string, string] {
  const at = text.indexOf('=')
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)]
  throw misuse(
    `${flag} ${text} is not name=value`,
    'It has no name before a =.',
    `${flag} name=value`,
  )
}

/** A stream as it comes, until one side ends it. */
async function copyStream(session: Session, call: Call): Promise<void> {
  const { settings, terminal } = session
  if (settings.curl) {
    session.print(asCurl(settings.base, call, settings.key !== undefined))
    throw new Ended(exits.ok)
  }
  const response = await open({ ...settings, maxTime: 2 ** 31 - 1 }, call)
  if (!response.ok) {
    const { status, headers } = response
    throw refusal({ status, headers, text: await response.text() }, settings.base, session.name)
  }
  const decoder = new TextDecoder()
  for await (const bytes of response.body ?? []) {
    terminal.out.write(decoder.decode(bytes, { stream: true }))
  }
}
