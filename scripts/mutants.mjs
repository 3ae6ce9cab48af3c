// Plants faults in a copy of the sources, one at a time, and sees that the test named beside each
// fails. One that survives is a gap in the tests: the run ends with 1.
//
//   npm run mutants             all of them
//   npm run mutants -- lock     those whose names contain "lock"
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')

const interleave = 'test/race/interleave.test.ts'
const signals = 'test/race/signals.test.ts'
const waiting = 'test/domain/waiting.test.ts'
const handover = 'test/engine/handover.test.ts'

/** What is planted (`swap`: pairs of what stands there and what shall), and which test must notice. */
const mutants = [
  {
    name: 'a signal acts on whatever wait its flow has by then',
    file: 'src/engine/signalling.ts',
    swap: [['if (flow?.wait?.id !== waiter.wait_id) continue', 'if (flow === undefined) continue']],
    caught: [signals, 'one that began anew is not'],
  },
  {
    name: 'waits and signals take no lock on their match key',
    file: 'src/engine/entry.ts',
    swap: [
      [
        "branch.kind === 'external_event' ? [matchText(namespace, branch)] : [],",
        "branch.kind === 'external_event' && namespace === '' ? [matchText(namespace, branch)] : [],",
      ],
      [
        "if (broadcast && signal.target.kind === 'external_event') {",
        "if (broadcast && namespace === '' && signal.target.kind === 'external_event') {",
      ],
    ],
    caught: [interleave, 'on a flow that is running wait against each other operation'],
  },
  {
    name: 'only signals lock their match key',
    file: 'src/engine/entry.ts',
    swap: [
      [
        "branch.kind === 'external_event' ? [matchText(namespace, branch)] : [],",
        "branch.kind === 'external_event' && namespace === '' ? [matchText(namespace, branch)] : [],",
      ],
    ],
    caught: [interleave, 'on a flow that is running wait against each other operation'],
  },
  {
    name: 'senders’ ids are not looked up',
    file: 'src/engine/signal-ledger.ts',
    swap: [
      [
        'return text === null ? undefined : senders.get(text)',
        'return text === null ? undefined : senders.get(String(0))',
      ],
    ],
    caught: [
      interleave,
      'on a flow that is running signal with an id against each other operation',
    ],
  },
  {
    name: 'senders’ ids are not locked',
    file: 'src/engine/entry.ts',
    swap: [
      [
        'const texts = sender === null ? [] : [sender]',
        "const texts = sender === '' ? [sender] : []",
      ],
    ],
    caught: [
      interleave,
      'on a flow that is running signal with an id against each other operation',
    ],
  },
  {
    name: 'kept signals are looked up before the locks',
    file: 'src/store/batch-lock.ts',
    swap: [
      [
        'texts.length > 0 ? lockTexts(client, texts, block) : Promise.resolve(new Set()),',
        '((request as any).early = request.kept.length > 0 ? lockKept(client, request.kept) : none, texts.length > 0 ? lockTexts(client, texts, block) : Promise.resolve(new Set())),',
      ],
      [
        'request.kept.length > 0 ? lockKept(client, request.kept) : none,\n      request',
        '(request as any).early,\n      request',
      ],
    ],
    caught: [interleave, 'on a flow that is running wait against each other operation'],
  },
  {
    name: 'waits take the newest kept signal',
    file: 'src/store/signals.ts',
    swap: [
      [
        'order by s.received_at, s.id\n          limit q.limit) kept),\n      n as',
        'order by s.received_at desc, s.id desc\n          limit q.limit) kept),\n      n as',
      ],
    ],
    caught: [interleave, 'on a flow that is kept wait against each other operation'],
  },
  {
    name: 'a satisfied branch takes signals still',
    file: 'src/domain/wait.ts',
    swap: [
      [
        "return wait.kind === 'any' ? open : open.filter(({ index }) => wait.satisfied[index] !== true)",
        "return wait.kind === 'any' ? open : open.filter(({ index, branch }) => branch.kind !== 'timer' || wait.satisfied[index] !== true)",
      ],
    ],
    caught: [waiting, 'all > of 2 branches'],
  },
  {
    name: 'a satisfied timer is due still',
    file: 'src/domain/timer.ts',
    swap: [
      [
        'for (const { branch, index } of openBranches(wait)) {\n    if (branch.kind',
        "for (const { branch, index } of ('of' in wait ? wait.of.map((branch, index) => ({ branch, index })) : openBranches(wait))) {\n    if (branch.kind",
      ],
    ],
    caught: [waiting, 'a satisfied timer neither wakes nor fires again'],
  },
  {
    name: 'a deadline that is due goes before a timer',
    file: 'src/domain/timer.ts',
    swap: [['late === null || first.at <= late', 'late === null']],
    caught: [waiting, 'a timer that is due with the deadline comes before it'],
  },
  {
    name: 'an expired signal is taken',
    file: 'src/store/signals.ts',
    swap: [['\n            and s.expires_at > statement_timestamp()', '']],
    caught: [signals, 'an expired signal is not taken'],
  },
  {
    name: 'whether a signal is kept is judged as of the beginning of the transaction',
    file: 'src/store/signals.ts',
    swap: [['s.expires_at > statement_timestamp()', 's.expires_at > now()']],
    caught: [signals, 'hides no other'],
    compensated: {
      file: 'src/engine/signal-ledger.ts',
      swap: [
        [
          "signal.outcome === 'buffered' && isFor",
          "signal.outcome === 'buffered' && (signal.expires_at ?? '') > locked.now && isFor",
        ],
      ],
    },
  },
  {
    name: 'a kept signal that is held elsewhere is passed by',
    file: 'src/store/signals.ts',
    swap: [
      [
        'array(select id from n))\n      order by s.id\n      for no key update`',
        'array(select id from n))\n      order by s.id\n      for no key update skip locked`',
      ],
    ],
    caught: [signals, 'whose row is held elsewhere is waited for'],
  },
  {
    name: 'waits that began later are woken by a signal for all',
    file: 'src/engine/signalling.ts',
    swap: [
      [
        'if (waking !== null && waiter.since >= before) {',
        'if (waking !== null && waiter.since < "") {',
      ],
    ],
    caught: [signals, 'waits that begin while it goes on'],
  },
  {
    name: 'a signal for all forgets whose turn was',
    file: 'src/engine/signalling.ts',
    swap: [
      [
        'waking: { before, after: after && { since: after.since, wait_id: after.wait_id } },',
        'waking: { before, after: null },',
      ],
    ],
    caught: [signals, 'a wait with two branches for it is advanced once'],
  },
  {
    name: 'what a wait took is not written down',
    file: 'src/engine/signalling.ts',
    swap: [
      [
        'for (const { signal, delivery } of taken) {',
        'for (const { signal, delivery } of taken.slice(0, 0)) {',
      ],
    ],
    caught: [interleave, 'on a flow that is kept wait against each other operation'],
  },
  {
    name: 'a signal for one flow is taken by others',
    file: 'src/store/signals.ts',
    swap: [['and (s.flow_id is null or s.flow_id = q.flow_id)\n', '\n']],
    compensated: {
      file: 'src/domain/signal.ts',
      swap: [['(signal.flow_id === null || signal.flow_id === flowId) &&', 'flowId !== "" &&']],
    },
    caught: [signals, 'is not taken by another that waits for the same'],
  },
  {
    name: 'a branch sees only what is kept for itself',
    file: 'src/engine/lock-request.ts',
    swap: [[': JSON.stringify([flow_id])', ': JSON.stringify([flow_id, name])']],
    caught: [signals, 'named and nameless branches take all that they could'],
  },
  {
    name: 'a signal that cannot be kept leaves the flow that it started',
    file: 'src/engine/signalling.ts',
    swap: [
      [
        'if (entry.signal.ttl > 0) ledger.refuseFull(',
        'if (entry.signal.ttl < 0) ledger.refuseFull(',
      ],
    ],
    caught: [signals, 'a signal that may not be kept starts no flow'],
  },
  {
    name: 'senders’ ids of named signals know no namespace',
    file: 'src/engine/entry.ts',
    swap: [["JSON.stringify(['sender of flow', namespace,", "JSON.stringify(['sender of flow',"]],
    caught: [signals, 'a sender of another namespace learns nothing'],
  },
  {
    name: 'a command waits for one busy thing after the other, for ever',
    file: 'src/engine/queue.ts',
    swap: [['const maxTurns = 8', 'const maxTurns = 8_000']],
    caught: [signals, 'a wait for two busy things has its turn'],
  },
  {
    name: 'what is pushed is handed to whoever claims',
    file: 'src/engine/handover.ts',
    swap: [['return asked.has(key) && (', 'return key !== null || (']],
    caught: [handover, 'is not given what is pushed'],
  },
  {
    name: 'claims that are kept for a step are not told that it did not come',
    file: 'src/engine/transaction.ts',
    swap: [["if (result.outcome !== 'committed') nothingCame()", '']],
    caught: [handover, 'gets nothing of what cannot be saved'],
  },
  {
    name: 'steps of a flow that was overtaken are handed over',
    file: 'src/engine/handover.ts',
    swap: [['(!born || saved.inserted.has(flow.id))', "(!born || flow.id !== '')"]],
    caught: [handover, 'gets nothing of a flow that did not come in'],
  },
  {
    name: 'new steps pass those that were ready before',
    file: 'src/engine/claim-lines.ts',
    swap: [['let left = ready ?? Number.POSITIVE_INFINITY', 'let left = (ready ?? 0) * 0']],
    caught: ['test/engine/claim-lines.test.ts', 'ready already, those are left for new ones'],
  },
]

const chosen = mutants.filter(({ name }) => name.includes(process.argv[2] ?? ''))
const copy = mkdtempSync(join(tmpdir(), 'taskflow-mutants-'))
process.on('exit', () => rmSync(copy, { recursive: true, force: true }))
const parts = [
  'src',
  'test',
  'migrations',
  'scripts',
  'package.json',
  'tsconfig.json',
  'vitest.config.ts',
]
for (const part of parts) cpSync(join(root, part), join(copy, part), { recursive: true })
symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
// These tests run the sources: what is built need not follow each fault.
cpSync(join(root, 'dist'), join(copy, 'dist'), { recursive: true })
const future = new Date(Date.now() + 86_400_000)
utimesSync(join(copy, 'dist/.built'), future, future)

/** Changes a file of the copy; answers how to change it back. */
function plant({ file, swap }) {
  const path = join(copy, file)
  const before = readFileSync(path, 'utf8')
  let text = before
  for (const [here, there] of swap) {
    if (!text.includes(here)) throw new Error(`${file} has no: ${here}`)
    text = text.replaceAll(here, there)
  }
  writeFileSync(path, text)
  return () => writeFileSync(path, before)
}

/** Runs one test of the copy; answers whether it passed, and whether it found what it looks for. */
function run([file, name]) {
  const vitest = join(copy, 'node_modules/vitest/vitest.mjs')
  const pattern = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll(' > ', ' ')
  const { status, stdout } = spawnSync(
    process.execPath,
    [vitest, 'run', file, '-t', pattern, '--reporter=json', '--silent'],
    {
      cwd: copy,
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      env: { ...process.env, TEST_SCHEDULES: '12' },
    },
  )
  const text = stdout.slice(stdout.indexOf('{"numTotalTestSuites"'))
  const { numPassedTests, numFailedTests } = JSON.parse(text.slice(0, text.lastIndexOf('}') + 1))
  // What is prepared for the tests is judged like what they do.
  const found = numFailedTests > 0 || text.includes(' violations:')
  return { status, ran: numPassedTests + numFailedTests, found }
}

let survivors = 0
const tried = new Map()
for (const mutant of chosen) {
  const started = performance.now()
  const text = mutant.caught.join(': ')
  // A test that fails without the fault, or that does not exist, catches nothing.
  if (!tried.has(text)) tried.set(text, run(mutant.caught))
  const sound = tried.get(text)
  const undo = [mutant, mutant.compensated].filter(Boolean).map(plant)
  const result = run(mutant.caught)
  for (const back of undo) back()
  const caught = sound.status === 0 && sound.ran > 0 && result.found
  if (!caught) survivors++
  const seconds = ((performance.now() - started) / 1000).toFixed(0)
  const verdict = caught ? 'caught' : sound.status === 0 ? 'SURVIVED' : 'NO SOUND TEST'
  console.log(`${verdict.padEnd(13)} ${mutant.name} (${seconds} s)\n              by ${text}`)
}
console.log(`${chosen.length - survivors} of ${chosen.length} caught`)
process.exitCode = survivors === 0 ? 0 : 1
