// Which signals almost met a wait, and what kept each of them from it, in plain words.

import { distance } from './nearest.ts'
import type { SignalDelivery, SignalOutcome } from './signal.ts'
import { inWords, millisBetween, type Timestamp } from './time.ts'
import { type Branch, openBranches, type SignalTarget, type Wait } from './wait.ts'

/** What of a signal tells whether it almost met a wait. */
export interface NearSignal {
  id: string
  target: SignalTarget
  flow_id: string | null
  outcome: SignalOutcome
  deliveries: SignalDelivery[]
  received_at: Timestamp
  expires_at: Timestamp | null
}

export interface NearMiss {
  signal: NearSignal
  /** Why it did not end the wait, as the end of a sentence about the signal. */
  difference: string
  /** Whether trying it again delivers it as it is. */
  redeliverable: boolean
}

/** Near misses of one answer. */
const listed = 10
/** Longer texts are told by their beginning. */
const shownLength = 64

/**
 * Texts that a correlation id was probably sent as, when it was not sent as itself. Each is one
 * look-up in an index, so there are few.
 */
export function variantsOf(text: string): string[] {
  const trimmed = text.trim()
  const all = [trimmed, `${text} `, ` ${text}`, `${text}\n`, text.toLowerCase(), text.toUpperCase()]
  return [...new Set([text, ...all])].filter((variant) => variant !== '')
}

/** The near misses among some signals: the nearest first, of those the newest. */
export function nearMisses(
  flow: { id: string; wait: Wait | null },
  signals: readonly NearSignal[],
  now: Timestamp,
): NearMiss[] {
  const found = signals.flatMap((signal) => {
    const judged = judge(flow, signal, now)
    return judged === null ? [] : [{ signal, ...judged }]
  })
  found.sort((a, b) => {
    if (a.far !== b.far) return a.far - b.far
    return a.signal.received_at > b.signal.received_at ? -1 : 1
  })
  return found.slice(0, listed).map(({ far: _, ...miss }) => miss)
}

interface Judged {
  /** 0: it is the one, 5: it is for this flow and for something else. */
  far: number
  difference: string
  redeliverable: boolean
}

function judge(
  flow: { id: string; wait: Wait | null },
  signal: NearSignal,
  now: Timestamp,
): Judged | null {
  const { wait } = flow
  const branches = wait === null ? [] : openBranches(wait).map(({ branch }) => branch)
  let best: Judged | null = null
  for (const branch of branches) {
    const judged = compare(flow, branch, signal, now)
    if (judged !== null && (best === null || judged.far < best.far)) best = judged
  }
  if (best !== null) return best
  if (signal.flow_id !== flow.id || signal.outcome !== 'buffered') return null
  return { far: 5, difference: asideOf(wait, signal), redeliverable: false }
}

/** A kept signal for this flow that has nothing in common with what the flow waits for. */
function asideOf(wait: Wait | null, { target }: NearSignal): string {
  const what =
    target.kind === 'external_event'
      ? `${shown(target.topic)} for ${shown(target.correlation_id)}`
      : target.kind === 'manual'
        ? `the name ${shown(target.signal)}`
        : 'a wait that is over'
  return wait === null
    ? `kept for this flow, which does not wait yet: it carries ${what}`
    : `kept for this flow, which waits for something else: it carries ${what}`
}

function compare(
  flow: { id: string; wait: Wait | null },
  branch: Branch,
  signal: NearSignal,
  now: Timestamp,
): Judged | null {
  const { target } = signal
  if (branch.kind === 'manual' && target.kind === 'manual') {
    // Names are looked for within their flow only.
    if (signal.flow_id !== flow.id) return null
    const name = branch.signal === undefined ? null : textDifference(branch.signal, target.signal)
    if (name === null) return fateOf(flow, signal, now)
    if (!name.near && signal.outcome !== 'buffered') return null
    return { far: name.near ? 1 : 5, difference: `its name ${name.words}`, redeliverable: false }
  }
  if (branch.kind !== 'external_event' || target.kind !== 'external_event') return null
  const topic = textDifference(branch.topic, target.topic)
  const correlation = idDifference(branch.correlation_id, target.correlation_id)
  if (topic === null && correlation === null) return fateOf(flow, signal, now)
  // What is only like it in part, and found the wait that it was meant for, misses nothing.
  const like = (topic?.near ?? true) && (correlation?.near ?? true)
  if (correlation?.near === false || (!like && signal.outcome === 'delivered')) return null
  if (topic === null) {
    return {
      far: 1,
      difference: `same topic, its correlation_id ${correlation?.words}`,
      redeliverable: false,
    }
  }
  const difference =
    correlation === null
      ? `same correlation_id, its topic ${topic.words}`
      : `its topic ${topic.words}, and its correlation_id ${correlation.words}`
  return { far: topic.near ? 2 : 4, difference, redeliverable: false }
}

/** Why a signal that is the very one did not end the wait; null when it did its part. */
function fateOf(
  flow: { id: string; wait: Wait | null },
  signal: NearSignal,
  now: Timestamp,
): Judged | null {
  const { outcome, expires_at, deliveries } = signal
  const since = flow.wait?.since ?? now
  if (signal.flow_id !== null && signal.flow_id !== flow.id) {
    return {
      far: 0,
      difference: `aimed at another flow, ${signal.flow_id}`,
      redeliverable: false,
    }
  }
  if (outcome === 'delivered') {
    const [first] = deliveries
    if (deliveries.some(({ wait_id }) => wait_id === flow.wait?.id)) return null
    const other = deliveries.some(({ flow_id }) => flow_id === flow.id)
      ? 'an earlier wait of this flow'
      : `the wait of another flow, ${first?.flow_id}`
    return { far: 3, difference: `ended ${other}`, redeliverable: false }
  }
  if (outcome === 'expired') {
    const early = expires_at !== null && expires_at <= since
    const ago = inWords(millisBetween(expires_at ?? now, early ? since : now))
    return {
      far: 0,
      difference: early
        ? `expired ${ago} before this wait began`
        : `expired ${ago} ago and was not taken before`,
      redeliverable: true,
    }
  }
  return {
    far: 0,
    difference: 'matches and is kept: the state had no room for its payload when it came',
    redeliverable: true,
  }
}

interface TextDifference {
  /** Whether one was probably meant for the other. */
  near: boolean
  words: string
}

/** How a text differs from the one that is waited for; null when it does not. */
function textDifference(wanted: string, got: string): TextDifference | null {
  if (wanted === got) return null
  const hidden = hiddenDifference(wanted, got)
  if (hidden !== null) return { near: true, words: hidden }
  const allowance = Math.floor(Math.min(wanted.length, got.length) / 5)
  const near = short(wanted) && short(got) && distance(wanted, got) <= allowance
  return { near, words: `is ${shown(got)} instead of ${shown(wanted)}` }
}

/** The same for ids: those with other digits are other ids, however like they look. */
function idDifference(wanted: string, got: string): TextDifference | null {
  const found = textDifference(wanted, got)
  if (found === null || hiddenDifference(wanted, got) !== null) return found
  const digits = digitsOf(wanted)
  if (digits !== digitsOf(got)) return { ...found, near: false }
  const part = digits !== '' && (contains(wanted, got) || contains(got, wanted))
  return { ...found, near: found.near || part }
}

/** What cannot be seen, or hardly: white space, case, characters that look the same. */
function hiddenDifference(wanted: string, got: string): string | null {
  if (wanted === got.trim()) return whiteSpace('has', got)
  if (wanted.trim() === got) return whiteSpace('lacks', wanted)
  if (wanted.trim() === got.trim()) return 'has other white space around it'
  if (wanted.toLowerCase() === got.toLowerCase()) return 'differs in upper and lower case'
  if (wanted.trim().toLowerCase() === got.trim().toLowerCase()) {
    return 'differs in upper and lower case and in white space'
  }
  if (plain(wanted) === plain(got)) return 'is written with other characters that look the same'
  return null
}

function whiteSpace(verb: 'has' | 'lacks', padded: string): string {
  const before = padded !== padded.trimStart()
  const after = padded !== padded.trimEnd()
  const the = verb === 'has' ? 'a' : 'the'
  const space = padded.trim().length + 1 === padded.length && padded.includes(' ')
  const what = space ? 'space' : 'white space'
  const article = what === 'space' || verb === 'lacks' ? `${the} ` : ''
  if (before && after) return `${verb} white space around it`
  return `${verb} ${article}${before ? 'leading' : 'trailing'} ${what}`
}

/** Compatible forms made one, and characters of no width left out. */
function plain(text: string): string {
  return text
    .normalize('NFKC')
    .replace(/[\u200b-\u200f\u2060\ufeff\u00ad]/g, '')
    .toLowerCase()
}

function digitsOf(text: string): string {
  return text.replace(/\D/g, '')
}

function contains(whole: string, part: string): boolean {
  return whole.length > part.length && (whole.endsWith(part) || whole.startsWith(part))
}

/** The distance costs the product of the lengths. */
function short(text: string): boolean {
  return text.length <= shownLength
}

function shown(text: string): string {
  return JSON.stringify(text.length <= shownLength ? text : `${text.slice(0, shownLength)}…`)
}
