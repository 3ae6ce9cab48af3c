import { pino } from 'pino'
import { writeFileSync } from 'node:fs'
import { test } from 'vitest'
import { createApp } from '../../src/http/app.ts'
import { makeTwin } from '../../src/http/openapi-twin.ts'
import { idleEngine } from '../support/idle-engine.ts'

test('x', async () => {
  const app = createApp(idleEngine(), { logger: pino({ level: 'warn' }), version: '0.1.0', shutdown: new AbortController().signal, limits: { body_bytes: 1000000, json_depth: 32 } })
  await app.ready()
  writeFileSync('/tmp/openapi.json', JSON.stringify(app.openApi(), null, 2))
  writeFileSync('/tmp/openapi-3.0.json', JSON.stringify(makeTwin(app.openApi()), null, 2))
  const r = await app.inject({ method: 'POST', url: '/flows', payload: { goal: 'x' } })
  console.log(r.statusCode, r.body)
  for (const url of ['/docs', '/docs/json', '/openapi.json', '/', '/flows?label.tier=a&x=1', '/flows?label.=a', '/flows?label.t=a&label.t=b', '/flows?status=nope', '/flows/abc?wait=PT1S', '/flows/abc?wait=PT100S&until=terminal']) {
    const r = await app.inject({ url })
    console.log(url, r.statusCode, r.headers, r.body.slice(0, 300))
  }
  await app.close()
})
