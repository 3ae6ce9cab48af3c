// The page that lets people try the API: it works, and asks no other host for anything.

import { afterAll, expect, it } from 'vitest'
import { idleApp } from '../support/openapi.ts'

const app = idleApp()
afterAll(() => app.close())

it('loads nothing from another host', async () => {
  const { body: page } = await app.inject('/docs')
  const links = [...page.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, link = '']) => link)
  expect(links.length).toBeGreaterThan(4)
  for (const link of links) {
    expect(link).toMatch(/^\/docs\//)
    const asset = await app.inject(link)
    expect(asset.statusCode, link).toBe(200)
    if (link.endsWith('.css')) {
      const targets = [...asset.body.matchAll(/url\(["']?([^"')]*)/g)].map(([, url = '']) => url)
      expect(targets.filter((url) => !url.startsWith('data:'))).toEqual([])
    }
    if (link.includes('initializer')) {
      expect(asset.body).toContain("resolveUrl('./json')")
      expect(asset.body).toContain('validatorUrl: null')
    }
  }
})

it('has a policy that lets the browser ask this host alone', async () => {
  const { headers } = await app.inject('/docs')
  const policy = String(headers['content-security-policy'])
  expect(policy).toContain("default-src 'self'")
  expect(policy).not.toMatch(/https?:|upgrade-insecure-requests|unsafe-eval/)
})

it('shows the document of the service', async () => {
  expect((await app.inject('/docs/json')).json()).toEqual(app.openApi())
})

it('is where the bare address leads', async () => {
  const { statusCode, headers } = await app.inject('/')
  expect([statusCode, headers.location]).toEqual([302, '/docs'])
})
