// The OpenAPI document of the routes, its 3.0 twin, and the page that lets people try them.

import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance, FastifyPluginCallback } from 'fastify'
import type { ErrorCode } from '../../domain/errors.ts'
import { type Access, needsKey, open } from '../access.ts'
import { finishDocument, type RawDocument } from '../openapi-document.ts'
import { makeTwin } from '../openapi-twin.ts'
import type { OpenApiDocument } from '../openapi-types.ts'

declare module 'fastify' {
  interface FastifySchema {
    /** Codes that a route can answer beside those that every route of its kind can. */
    'x-problems'?: readonly ErrorCode[]
    /** Query parameters whose names are a pattern, which OpenAPI has no words for. */
    'x-query-patterns'?: Record<string, string>
  }
  interface FastifyInstance {
    /** The finished document, from `ready` on. */
    openApi(): OpenApiDocument
  }
}

/** Who may read the documentation: everybody, whoever has a key, or nobody. */
export type DocsAccess = 'open' | 'key' | 'off'

/** Everything from this host, and no other: the page works without a network. */
const contentPolicy = {
  'default-src': ["'self'"],
  'base-uri': ["'self'"],
  'connect-src': ["'self'"],
  'font-src': ["'self'", 'data:'],
  'form-action': ["'none'"],
  'frame-ancestors': ["'none'"],
  'img-src': ["'self'", 'data:'],
  'object-src': ["'none'"],
  'script-src': ["'self'"],
  // Swagger UI sets style attributes on what it draws.
  'style-src': ["'self'", "'unsafe-inline'"],
}

/**
 * Serves `/openapi.json`, `/openapi-3.0.json` and Swagger UI at `/docs`, and gives the document to
 * the program as `app.openApi()`. It tells of the routes of all plugins registered afterwards.
 */
export function registerOpenApi(
  app: FastifyInstance,
  version: string,
  docs: DocsAccess = 'open',
): void {
  let document: OpenApiDocument | null = null
  const openApi = (): OpenApiDocument => {
    if (document === null) {
      // A copy: finishing works in place, and the plugin keeps its own.
      const raw: RawDocument = JSON.parse(JSON.stringify(app.swagger()))
      document = finishDocument(raw, version)
    }
    return document
  }
  app.decorate('openApi', openApi)

  app.register(swagger, {
    openapi: { openapi: '3.1.0' },
    convertConstToEnum: false,
    refResolver: { buildLocalReference: (schema) => String(schema['$id']) },
  })
  if (docs === 'off') return
  app.register(documentation, { openApi, config: docs === 'key' ? needsKey : open })
}

interface DocumentationOptions {
  openApi: () => OpenApiDocument
  config: { access: Access }
}

/** In a scope of its own: the routes of Swagger UI do not say by themselves what they ask of callers. */
const documentation: FastifyPluginCallback<DocumentationOptions> = (
  app,
  { openApi, config },
  done,
) => {
  app.addHook('onRoute', (route) => {
    route.config = { ...route.config, ...config }
  })
  app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: contentPolicy,
    transformSpecificationClone: false,
    transformSpecification: () => JSON.parse(JSON.stringify(openApi())),
    uiConfig: {
      // Without the bar on top, which offers to load documents of other hosts.
      layout: 'BaseLayout',
      docExpansion: 'list',
      displayRequestDuration: true,
      tryItOutEnabled: true,
    },
    theme: { title: 'Taskflow API' },
  })
  app.get('/openapi.json', { schema: { hide: true } }, (_request, reply) =>
    reply.type('application/json').send(openApi()),
  )
  app.get('/openapi-3.0.json', { schema: { hide: true } }, (_request, reply) =>
    reply.type('application/json').send(makeTwin(openApi())),
  )
  done()
}
