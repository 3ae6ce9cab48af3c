// Runs a flow through /mcp and through the stdio proxy with the official MCP Inspector, in its
// command-line mode, against a service that is running:
//   node scripts/inspector.mjs http://localhost:3000
// The Inspector weighs more than everything else together, so it is no dependency: it is installed
// aside, once.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

// The last major that runs on every Node.js that the service runs on.
const version = '1.0.3'
const [base = 'http://localhost:3000'] = process.argv.slice(2)
const folder = join(tmpdir(), `mcp-inspector-${version}`)
const cli = join(folder, 'node_modules/@modelcontextprotocol/inspector/cli/build/cli.js')
if (!existsSync(cli)) {
  mkdirSync(folder, { recursive: true })
  const args = ['install', '--prefix', folder, '--no-audit', '--no-fund', '--silent']
  execFileSync('npm', [...args, `@modelcontextprotocol/inspector@${version}`], { stdio: 'inherit' })
}

const session = `inspector-${Date.now()}`
const proxy = join(import.meta.dirname, '../dist/cli.js')
const env = {
  TASKFLOW_URL: base,
  TASKFLOW_SESSION: session,
  TASKFLOW_KEY: process.env.TASKFLOW_KEY,
}
const given = Object.entries(env).filter(([, value]) => value !== undefined)
const key =
  env.TASKFLOW_KEY === undefined ? [] : ['--header', `Authorization: Bearer ${env.TASKFLOW_KEY}`]
const targets = {
  http: [`${base}/mcp`, '--transport', 'http', '--header', `Taskflow-Session: ${session}`, ...key],
  stdio: ['node', proxy, 'mcp', ...given.flatMap(([name, value]) => ['-e', `${name}=${value}`])],
}

function inspect(transport, method, more = []) {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [cli, '--cli', ...targets[transport], '--method', method, ...more],
    { encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(`${transport} ${method}: ${stderr || stdout}`)
  return JSON.parse(stdout)
}

function call(transport, name, args = {}) {
  const pairs = Object.entries(args).flatMap(([arg, value]) => [
    '--tool-arg',
    `${arg}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  ])
  const answer = inspect(transport, 'tools/call', ['--tool-name', `taskflow_${name}`, ...pairs])
  const { isError, structuredContent } = answer
  if (isError) throw new Error(`${name}: ${JSON.stringify(structuredContent)}`)
  return structuredContent
}

for (const transport of Object.keys(targets)) {
  const { tools } = inspect(transport, 'tools/list')
  const { flow } = call(transport, 'start', {
    controller_id: 'inspector',
    goal: 'be seen',
    state: { seen: 0 },
  })
  const flow_id = flow.id
  call(transport, 'advance', { flow_id, patch: { seen: 1 }, current_step: 'look' })
  call(transport, 'wait', { flow_id, wait_condition: { kind: 'manual' } })
  const held = call(transport, 'await', { flow_id, seconds: 1 })
  call(transport, 'resume', { flow_id })
  const ended = call(transport, 'finish', { flow_id, final_state: { seen: 2 } })
  const { resources } = inspect(transport, 'resources/list')
  const uri = `taskflow://flows/${flow_id}/events`
  const { contents } = inspect(transport, 'resources/read', ['--uri', uri])
  const { prompts } = inspect(transport, 'prompts/list')
  const { events } = JSON.parse(contents[0].text)
  const as = {
    tools: tools.length === 12,
    held: held.changed === false,
    ended: ended.flow.status === 'finished' && ended.flow.untrusted.state.seen === 2,
    resources: resources.some((one) => one.uri === `taskflow://flows/${flow_id}`),
    events: events.at(-1).kind === 'finished',
    prompts: prompts[0].name === 'taskflow',
  }
  const wrong = Object.entries(as).filter(([, right]) => !right)
  if (wrong.length > 0) throw new Error(`${transport}: ${wrong.map(([name]) => name).join(', ')}`)
  console.log(
    `${transport}: ${tools.length} tools, a flow from start to finish, ${events.length} events`,
  )
}
