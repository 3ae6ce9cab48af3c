// Links that end a wait: a page that changes nothing, and the one request that does.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { JsonValueSchema, ref } from '../../contract/kit.ts'
import {
  type LinkResult,
  LinkResultSchema,
  type ResumeLink,
  ResumeLinkSchema,
} from '../../contract/link.ts'
import { FlowError } from '../../domain/errors.ts'
import type { JsonObject } from '../../domain/json.ts'
import type { LinkUse, OpenLink } from '../../engine/links.ts'
import { open } from '../access.ts'
import type { RouteContext } from '../context.ts'
import { depthOf } from '../depth.ts'
import { formType, parseForm } from '../form.ts'
import { payloadOf } from '../link-form.ts'
import { askPage, donePage, faultPage, gonePage, linkPolicy } from '../link-page.ts'
import { linkParams, noQuery } from '../params.ts'
import { problemKinds } from '../problem-catalogue.ts'
import { retryAfter } from '../problems.ts'
import { varyBy } from '../vary.ts'

/** A form's bytes on their way to the handler. No JSON value looks like this. */
interface FormBody {
  form: Buffer
}

const route = {
  config: { ...open, secretPath: true, bodyMayBeAbsent: true },
  schema: { tags: ['Signals'], params: linkParams, querystring: noQuery },
}

export const linkRoutes: FastifyPluginCallbackTypebox<RouteContext> = (app, { engine }, done) => {
  // For these routes alone: everywhere else a form is a request that was not meant.
  app.addContentTypeParser(formType, { parseAs: 'buffer' }, (_request, form, parsed) =>
    parsed(null, { form } satisfies { form: string | Buffer }),
  )
  app.addHook('onRequest', (_request, reply, next) => {
    reply.headers({ 'x-robots-tag': 'noindex, nofollow', 'content-security-policy': linkPolicy })
    next()
  })

  app.get(
    '/r/:token',
    {
      ...route,
      schema: {
        ...route.schema,
        operationId: 'getLink',
        summary: 'See what a link asks',
        description:
          'Changes nothing, however often it is opened. Browsers get a page with a form; with `Accept: application/json` the answer is this description.',
        'x-problems': ['not_found', 'gone'],
        response: { 200: ref(ResumeLinkSchema) },
      },
    },
    async (request, reply): Promise<ResumeLink | undefined> => {
      const { token } = request.params
      varyBy(reply, 'accept')
      if (wantsJson(request)) return present(await engine.links.get(token))
      await answerPage(request, reply, async () => [200, askPage(await engine.links.get(token))])
      return undefined
    },
  )

  app.post(
    '/r/:token',
    {
      ...route,
      schema: {
        ...route.schema,
        operationId: 'useLink',
        summary: 'End the wait of a link',
        description:
          'The body, any JSON value or none, is the payload; it lands in `state.resume_event`. A link ends its wait once: of two requests one gets 200, and the other 410 with what was decided. The form of the page is taken as well, and answered by a page.',
        'x-problems': ['not_found', 'gone', 'limit_exceeded'],
        body: ref(JsonValueSchema),
        response: { 200: ref(LinkResultSchema) },
      },
    },
    async (request, reply): Promise<LinkResult | undefined> => {
      const { token } = request.params
      const { body }: { body: unknown } = request
      const depth = depthOf(request)
      if (!isForm(request)) return presentUse(await engine.links.resume(token, request.body, depth))
      await answerPage(request, reply, async () => {
        const link = await engine.links.get(token)
        const form = isFormBody(body) ? parseForm(body.form) : new Map<string, string>()
        const payload = payloadOf(link.schema, form)
        try {
          return [200, donePage(await engine.links.resume(token, payload, depth), payload)]
        } catch (error) {
          if (!(error instanceof FlowError) || error.code !== 'invalid_request') throw error
          const { errors } = (error as FlowError<'invalid_request'>).detail
          return [400, askPage(link, form, errors)]
        }
      })
      return undefined
    },
  )

  done()
}

function isForm(request: FastifyRequest): boolean {
  return (request.headers['content-type'] ?? '').toLowerCase().startsWith(formType)
}

function isFormBody(body: unknown): body is FormBody {
  return typeof body === 'object' && body !== null && 'form' in body && Buffer.isBuffer(body.form)
}

/** Browsers, mail scanners and whoever does not say get the page. */
function wantsJson(request: FastifyRequest): boolean {
  const accept = request.headers.accept ?? ''
  return /\bapplication\/([\w.-]+\+)?json\b/i.test(accept) && !/\btext\/html\b/i.test(accept)
}

/** Answers with a status and a page, also when the request is refused. */
async function answerPage(
  request: FastifyRequest,
  reply: FastifyReply,
  page: () => Promise<[status: number, html: string]>,
): Promise<void> {
  const [status, html] = await page().catch((error: unknown) => refusal(request, reply, error))
  // The answer may have been given up as too late.
  if (!reply.sent) reply.code(status).type('text/html; charset=utf-8').send(html)
}

function refusal(
  request: FastifyRequest,
  reply: FastifyReply,
  error: unknown,
): [status: number, html: string] {
  if (!(error instanceof FlowError)) throw error
  const known: FlowError = error
  const { status } = problemKinds[known.code]
  if (status >= 500) request.fault = known.cause ?? known
  const seconds = retryAfter(known)
  if (seconds !== undefined) reply.header('retry-after', String(seconds))
  return [status, isGone(known) ? gonePage(known.detail.decided) : faultPage(known)]
}

function isGone(error: FlowError): error is FlowError<'gone'> {
  return error.code === 'gone'
}

function present({ goal, wait, expires_at, schema }: OpenLink): ResumeLink {
  const { kind: wait_kind, since } = wait
  return {
    goal,
    wait_kind,
    since,
    expires_at,
    ...(schema !== null && { schema: schema as JsonObject }),
  }
}

function presentUse({ signal_id, decided_at }: LinkUse): LinkResult {
  return { outcome: 'delivered', signal_id, decided_at }
}
