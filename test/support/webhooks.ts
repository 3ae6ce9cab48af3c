// Signs webhooks as their senders do.

import { createHmac } from 'node:crypto'

export type Headers = Record<string, string>

const json = { 'content-type': 'application/json' }

/** The present, in the whole seconds that senders write. */
export function unixNow(): number {
  return Math.floor(Date.now() / 1000)
}

function hmac(key: string | Buffer, content: string) {
  return createHmac('sha256', key).update(content)
}

export function github(secret: string, body: string, event = 'push', delivery?: string): Headers {
  return {
    ...json,
    'x-github-event': event,
    ...(delivery !== undefined && { 'x-github-delivery': delivery }),
    'x-hub-signature-256': `sha256=${hmac(secret, body).digest('hex')}`,
  }
}

export function stripe(secret: string, body: string, at = unixNow()): Headers {
  return {
    ...json,
    'stripe-signature': `t=${at},v1=${hmac(secret, `${at}.${body}`).digest('hex')}`,
  }
}

export function slack(secret: string, body: string, type?: string, at = unixNow()): Headers {
  return {
    'content-type': type ?? 'application/json',
    'x-slack-request-timestamp': String(at),
    'x-slack-signature': `v0=${hmac(secret, `v0:${at}:${body}`).digest('hex')}`,
  }
}

export function standardWebhooks(
  secret: string,
  body: string,
  id: string,
  at = unixNow(),
  prefix = 'webhook',
): Headers {
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64')
  return {
    ...json,
    [`${prefix}-id`]: id,
    [`${prefix}-timestamp`]: String(at),
    [`${prefix}-signature`]: `v1,${hmac(key, `${id}.${at}.${body}`).digest('base64')}`,
  }
}

/** An HMAC of a definition's own: `X-Mac: mac=…` over the time in `X-At` and the body. */
export function custom(secret: string, body: string, at = unixNow()): Headers {
  return {
    ...json,
    'x-at': String(at),
    'x-mac': `mac=${hmac(secret, `${at}.${body}`).digest('hex')}`,
  }
}
