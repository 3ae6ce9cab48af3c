// The pages behind a link: what is asked, what was sent, and why it does not work any more. Plain
// HTML that needs no script and loads nothing.

import { createHash } from 'node:crypto'
import type { FlowError, InputFault } from '../domain/errors.ts'
import type { JsonValue } from '../domain/json.ts'
import type { LinkDecision } from '../domain/link.ts'
import { textOf } from '../domain/payload.ts'
import type { Branch, Wait } from '../domain/wait.ts'
import type { LinkUse, OpenLink } from '../engine/links.ts'
import { escapeHtml } from './html.ts'
import { type Field, fieldsOf } from './link-form.ts'
import { problemKinds } from './problem-catalogue.ts'

const style = `:root { color-scheme: light dark; --line: #c9ced6; --soft: #f3f5f8; --text: #1b1f24; --mute: #57606a; --back: #fff; --act: #0b57d0; --on-act: #fff; --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root { --line: #444c56; --soft: #22272e; --text: #e6eaef; --mute: #a3adb8; --back: #16191d; --act: #8ab4f8; --on-act: #0b1e3f; --bad: #ffb4ab } }
* { box-sizing: border-box }
body { margin: 0; background: var(--back); color: var(--text); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
main { max-width: 36rem; margin: 0 auto; padding: 1.5rem 1.25rem 2rem; background: var(--back) }
@media (min-width: 40rem) { body { background: var(--soft) } main { margin: 3rem auto; padding: 2rem 2.25rem 2.25rem; border: 1px solid var(--line); border-radius: 12px } }
h1 { margin: 0 0 1rem; font-size: 1.5rem; line-height: 1.25 }
h2 { margin: 1.5rem 0 .5rem; font-size: 1.05rem }
.goal { margin: 0 0 1.25rem; padding: .75rem 1rem; border-left: 4px solid var(--act); background: var(--soft); font-size: 1.1rem }
dl { margin: 0 0 1.5rem; display: grid; grid-template-columns: minmax(6.5rem, max-content) 1fr; gap: .35rem 1rem }
dt { color: var(--mute) }
dd { margin: 0; white-space: pre-wrap }
dd ul { margin: 0; padding-left: 1.1rem; white-space: normal }
.field { margin: 0 0 1.25rem }
label, .name { display: block; font-weight: 600; margin-bottom: .25rem }
.check { display: flex; gap: .65rem; align-items: flex-start }
.check label { margin: 0 }
.hint { margin: 0 0 .35rem; color: var(--mute); font-size: .925rem; font-weight: 400 }
.fault { margin: 0 0 .35rem; color: var(--bad); font-weight: 600 }
input, select, textarea { width: 100%; padding: .6rem .7rem; border: 1px solid var(--mute); border-radius: 6px; background: var(--back); color: inherit; font: inherit }
input[type=checkbox] { width: 1.35rem; height: 1.35rem; margin: .1rem 0 0; flex: none; accent-color: var(--act) }
textarea { resize: vertical } .json { font-family: ui-monospace, monospace; font-size: .9rem }
button { width: 100%; min-height: 3rem; padding: .6rem 1.5rem; border: 0; border-radius: 8px; background: var(--act); color: var(--on-act); font: inherit; font-weight: 600; cursor: pointer }
@media (min-width: 40rem) { button { width: auto } }
:focus-visible { outline: 3px solid var(--act); outline-offset: 2px }
.faults { margin: 0 0 1.25rem; padding: .75rem 1rem; border: 2px solid var(--bad); border-radius: 8px }
.faults p, .faults ul { margin: 0 } .faults a { color: inherit }
.note { margin: 1rem 0 0; color: var(--mute); font-size: .925rem }`

/** Only the style of these pages; forms go back to where they came from; no other page frames them. */
export const linkPolicy = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'`,
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ')

/** What is asked, with a form; again with what was filled in and what is wrong with it. */
export function askPage(
  link: OpenLink,
  form: ReadonlyMap<string, string> = new Map(),
  faults: readonly InputFault[] = [],
): string {
  const { goal, wait, expires_at, schema } = link
  const fields = fieldsOf(schema)
  const heading = schema?.title ?? 'Your confirmation is asked for'
  const until = expires_at === null ? 'it has been decided' : time(expires_at)
  const placed = fields.map((field) => ({ field, own: faults.filter((one) => isOf(one, field)) }))
  const drawn = placed.map(({ field, own }, i) =>
    drawField(field, `field-${i}`, faults.length > 0 ? form : null, own),
  )
  const listed = faults.map((fault) => {
    const i = fields.findIndex((field) => isOf(fault, field))
    const said = escapeHtml(fault.message)
    return i < 0 ? `<li>${said}</li>` : `<li><a href="#field-${i}">${said}</a></li>`
  })
  const summary =
    listed.length === 0
      ? ''
      : `<div class="faults" role="alert"><p>Nothing was sent yet. Please mend this first:</p><ul>${listed.join('')}</ul></div>\n`
  return document(
    `${faults.length > 0 ? 'Please check: ' : ''}${heading}`,
    heading,
    `<p class="goal" dir="auto">${escapeHtml(goal)}</p>
${schema?.description === undefined ? '' : `<p dir="auto">${escapeHtml(schema.description)}</p>\n`}<dl>
<dt>It waits for</dt><dd>${waitingFor(wait)}</dd>
<dt>Since</dt><dd>${time(wait.since)}</dd>
<dt>Open until</dt><dd>${until}</dd>
</dl>
${summary}<form method="post">
${drawn.join('\n')}
<button type="submit">Confirm</button>
</form>
<p class="note">Opening this page has changed nothing. You can answer once, and that is final.</p>`,
  )
}

export function donePage(use: LinkUse, payload: JsonValue | undefined): string {
  return document(
    'Thank you',
    'Thank you, it is done',
    `<p>Your answer arrived at ${time(use.decided_at)}. You can close this page.</p>
${sent(payload)}`,
  )
}

export function gonePage(decided: LinkDecision): string {
  return document(
    'This link does not work any more',
    'This link does not work any more',
    `<p>${endings[decided.by]} at ${time(decided.at)}.</p>
${sent(decided.payload)}<p class="note">A link works once. If you still need to decide something, ask whoever sent it for a new one.</p>`,
  )
}

/** Any other refusal. */
export function faultPage(error: FlowError): string {
  const { title } = problemKinds[error.code]
  const heading = error.code === 'not_found' ? 'There is no such link' : title
  return document(heading, heading, `<p>${escapeHtml(error.message)}</p>`)
}

const endings: Record<LinkDecision['by'], string> = {
  link: 'Somebody answered by this link',
  signal: 'What it waited for came another way',
  timer: 'The time that it waited for came',
  manual: 'Somebody went on with it by hand',
  timeout: 'Nobody answered in time: the wait ended',
  expiry: 'Nobody answered in time: the link expired',
  failed: 'It failed',
  cancelled: 'It was cancelled',
}

/** What was sent, member by member. */
function sent(payload: JsonValue | undefined): string {
  if (payload === undefined) return ''
  const members =
    typeof payload === 'object' && payload !== null && !Array.isArray(payload)
      ? Object.entries(payload)
      : ([['Answer', payload]] as const)
  const rows = members.map(
    ([name, value]) =>
      `<dt dir="auto">${escapeHtml(name)}</dt><dd dir="auto">${escapeHtml(said(value))}</dd>`,
  )
  return rows.length === 0 ? '' : `<h2>What was sent</h2>\n<dl>${rows.join('\n')}</dl>\n`
}

/** A value in words of people, where there are some. */
function said(value: JsonValue): string {
  return typeof value === 'boolean' ? (value ? 'yes' : 'no') : textOf(value)
}

function isOf({ pointer }: InputFault, field: Field): boolean {
  return pointer === field.pointer || pointer.startsWith(`${field.pointer}/`)
}

/** @param form what was filled in before; null: nothing yet, so that defaults are shown. */
function drawField(
  { name, look, schema, required }: Field,
  id: string,
  form: ReadonlyMap<string, string> | null,
  faults: readonly InputFault[],
): string {
  const label = `<span dir="auto">${escapeHtml(schema.title ?? name)}</span>${
    required || look === 'checkbox' || look === 'fixed'
      ? ''
      : ' <span class="hint">(optional)</span>'
  }`
  const before = form === null ? defaultText(schema) : (form.get(name) ?? '')
  const about = [
    ...(schema.description === undefined ? [] : [schema.description]),
    ...(look === 'checkbox' ? ['Leave the box empty for no.'] : []),
    ...(look === 'json' ? ['As JSON, for example ["a", "b"].'] : []),
  ].join(' ')
  const hint =
    about === '' ? '' : `<p class="hint" id="${id}-hint" dir="auto">${escapeHtml(about)}</p>`
  const wrong = faults.map(({ message }) => escapeHtml(message)).join(' ')
  const fault = wrong === '' ? '' : `<p class="fault" id="${id}-fault">${wrong}</p>`
  const described = [hint && `${id}-hint`, fault && `${id}-fault`].filter(Boolean).join(' ')
  const common = `id="${id}" name="${escapeHtml(name)}"${
    described === '' ? '' : ` aria-describedby="${described}"`
  }${fault === '' ? '' : ' aria-invalid="true"'}`
  const labelled = (control: string) =>
    `<div class="field"><label for="${id}">${label}</label>${hint}${fault}${control}</div>`
  const must = required ? ' required' : ''
  switch (look) {
    case 'fixed':
      return `<div class="field"><span class="name">${label}</span>${hint}${fault}<span dir="auto">${escapeHtml(said(schema.const ?? null))}</span></div>`
    case 'checkbox': {
      const checked = /^(on|true|yes|1)$/i.test(before) ? ' checked' : ''
      return `<div class="field check"><input type="checkbox" ${common} value="true"${checked}><div><label for="${id}">${label}</label>${hint}${fault}</div></div>`
    }
    case 'choice': {
      const options = (schema.enum ?? []).map((value) => {
        const text = escapeHtml(textOf(value))
        return `<option value="${text}"${textOf(value) === before ? ' selected' : ''}>${text}</option>`
      })
      const none = `<option value="">${required ? 'Please choose' : '–'}</option>`
      return labelled(`<select ${common}${must}>${none}${options.join('')}</select>`)
    }
    case 'number': {
      const { minimum, maximum } = schema
      const whole =
        [schema.type].flat().includes('integer') && ![schema.type].flat().includes('number')
      const bounds = `${minimum === undefined ? '' : ` min="${minimum}"`}${maximum === undefined ? '' : ` max="${maximum}"`}`
      return labelled(
        `<input type="number" inputmode="${whole ? 'numeric' : 'decimal'}" step="${whole ? 1 : 'any'}" ${common}${bounds}${must} value="${escapeHtml(before)}">`,
      )
    }
    case 'line':
      return labelled(
        `<input type="text" dir="auto" ${common}${lengths(schema)}${must} value="${escapeHtml(before)}">`,
      )
    case 'text':
      // The first line break after the tag is not part of the text.
      return labelled(
        `<textarea rows="3" dir="auto" ${common}${lengths(schema)}${must}>\n${escapeHtml(before)}</textarea>`,
      )
    case 'json':
      return labelled(
        `<textarea rows="4" class="json" spellcheck="false" ${common}${must}>\n${escapeHtml(before)}</textarea>`,
      )
  }
}

function lengths({ minLength, maxLength }: Field['schema']): string {
  return `${minLength === undefined ? '' : ` minlength="${minLength}"`}${maxLength === undefined ? '' : ` maxlength="${maxLength}"`}`
}

function defaultText(schema: Field['schema']): string {
  return schema.default === undefined ? '' : textOf(schema.default)
}

function waitingFor(wait: Wait): string {
  if (wait.kind !== 'any' && wait.kind !== 'all') return branchText(wait)
  const items = wait.of.map((branch, i) => {
    const done = wait.kind === 'all' && wait.satisfied[i] === true ? ' (has come)' : ''
    return `<li>${branchText(branch)}${done}</li>`
  })
  const which = wait.kind === 'any' ? 'the first of these:' : 'all of these:'
  return `${which}<ul>${items.join('')}</ul>`
}

function branchText(branch: Branch): string {
  switch (branch.kind) {
    case 'timer':
      return `a time: ${time(branch.at)}`
    case 'external_event':
      return `<bdi>${escapeHtml(branch.topic)}</bdi> for <bdi>${escapeHtml(branch.correlation_id)}</bdi>`
    case 'manual':
      return branch.signal === undefined
        ? 'somebody’s decision'
        : `somebody’s decision: <bdi>${escapeHtml(branch.signal)}</bdi>`
  }
}

const months =
  'January February March April May June July August September October November December'.split(' ')

/** A time for people, in the one zone that means the same to all of them. */
function time(at: string): string {
  const month = months[Number(at.slice(5, 7)) - 1]
  const text = `${Number(at.slice(8, 10))} ${month} ${at.slice(0, 4)}, ${at.slice(11, 16)} UTC`
  return `<time datetime="${escapeHtml(at)}">${text}</time>`
}

function document(title: string, heading: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1 dir="auto">${escapeHtml(heading)}</h1>
${body}
</main>
</body>
</html>
`
}
