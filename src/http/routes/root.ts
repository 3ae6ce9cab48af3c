// The bare address: whoever opens it in a browser wants the documentation.

import type { FastifyPluginCallback } from 'fastify'

export const rootRoutes: FastifyPluginCallback = (app, _options, done) => {
  app.get('/', { schema: { hide: true } }, (_request, reply) => reply.redirect('/docs', 302))
  done()
}
