// The pages behind the `type` of every problem: what it means and how to get out of it.

import type { FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify'
import { FlowError } from '../domain/errors.ts'
import { nearest } from '../domain/nearest.ts'
import { escapeHtml } from './html.ts'
import { isErrorCode, problemCodes, problemKinds } from './problem-catalogue.ts'
import type { ProblemKind } from './problem-kind.ts'
import { varyBy } from './vary.ts'

/** Nothing but the style in the page itself is loaded or run. */
const policy =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const style = `:root { color-scheme: light dark }
body { font: 16px/1.6 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem }
h1 { line-height: 1.25 } code { font-family: ui-monospace, monospace; font-size: .9em }
pre { padding: 1rem; overflow-x: auto; border: 1px solid; border-radius: 6px }
td { padding: .2rem 1rem .2rem 0; vertical-align: top }`

/** `GET /problems` and `GET /problems/{code}`: HTML for browsers, plain text for everybody else. */
export const problemPages: FastifyPluginCallback = (app, _options, done) => {
  app.get('/problems', { schema: { hide: true } }, (request, reply) =>
    send(request, reply, indexText, indexHtml),
  )

  app.get<{ Params: { code: string } }>(
    '/problems/:code',
    { schema: { hide: true } },
    (request, reply) => {
      const { code } = request.params
      if (!isErrorCode(code)) throw unknownCode(code)
      const kind = problemKinds[code]
      return send(
        request,
        reply,
        () => pageText(code, kind),
        () => pageHtml(code, kind),
      )
    },
  )

  done()
}

function unknownCode(code: string): FlowError {
  const meant = nearest(code, problemCodes)
  return meant === undefined
    ? new FlowError(
        'not_found',
        'There is no problem of this code: all of them are at /problems.',
        {
          resource: 'problem',
        },
      )
    : new FlowError('not_found', `There is no problem of this code. Did you mean ${meant}?`, {
        resource: 'problem',
        did_you_mean: `/problems/${meant}`,
      })
}

function send(
  request: FastifyRequest,
  reply: FastifyReply,
  text: () => string,
  html: () => string,
): FastifyReply {
  varyBy(reply.header('cache-control', 'public, max-age=3600'), 'accept')
  if (!/\btext\/html\b/.test(request.headers.accept ?? '')) {
    return reply.type('text/plain; charset=utf-8').send(text())
  }
  return reply
    .header('content-security-policy', policy)
    .type('text/html; charset=utf-8')
    .send(html())
}

function example(code: string, kind: ProblemKind): string {
  const problem = {
    type: `/problems/${code}`,
    title: kind.title,
    status: kind.status,
    detail: kind.example,
    code,
    request_id: '3f0c1f0e-6f1c-4d8e-9f57-0c7a4e1b2d33',
  }
  return JSON.stringify(problem, null, 2)
}

function pageText(code: string, kind: ProblemKind): string {
  return [
    `${kind.title} (${code}, ${kind.status})`,
    ...kind.explanation,
    example(code, kind),
    'All problems: /problems\n',
  ].join('\n\n')
}

function pageHtml(code: string, kind: ProblemKind): string {
  const paragraphs = kind.explanation.map((paragraph) => `<p>${marked(paragraph)}</p>`)
  return document(
    kind.title,
    `<p><code>${code}</code> · status ${kind.status}</p>
${paragraphs.join('\n')}
<h2>Example</h2>
<pre><code>${escapeHtml(example(code, kind))}</code></pre>
<p><a href="/problems">All problems</a> · <a href="/docs">The API</a></p>`,
  )
}

function indexText(): string {
  const lines = problemCodes.map(
    (code) => `${problemKinds[code].status}  /problems/${code}  ${problemKinds[code].title}`,
  )
  return `Problems that this service answers with\n\n${lines.join('\n')}\n`
}

function indexHtml(): string {
  const rows = problemCodes.map((code) => {
    const { status, title } = problemKinds[code]
    return `<tr><td>${status}</td><td><a href="/problems/${code}"><code>${code}</code></a></td><td>${escapeHtml(title)}</td></tr>`
  })
  return document('Problems', `<table>\n${rows.join('\n')}\n</table>`)
}

function document(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)} · Taskflow</title>
<style>${style}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
${body}
</body>
</html>
`
}

/** Text with names in backticks, as HTML. */
function marked(text: string): string {
  return escapeHtml(text).replace(/`([^`]+)`/g, '<code>$1</code>')
}
