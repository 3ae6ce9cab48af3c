// What counts as a near miss, and how it is told.

import { describe, expect, it } from 'vitest'
import { type NearSignal, nearMisses, variantsOf } from '../../src/domain/near-miss.ts'
import { id, later, start, waits } from '../support/flow-samples.ts'

const topic = 'payment.settled'
const now = later(3_600_000)
const flow = { id: id(1), wait: waits.event }

function signal(over: Partial<NearSignal> = {}, target: object = {}): NearSignal {
  return {
    id: id(50),
    target: { kind: 'external_event', topic, correlation_id: 'order-42', ...target } as never,
    flow_id: null,
    outcome: 'buffered',
    deliveries: [],
    received_at: start,
    expires_at: later(86_400_000),
    ...over,
  }
}

const told = (one: NearSignal, on: Parameters<typeof nearMisses>[0] = flow) =>
  nearMisses(on, [one], now)[0]?.difference

describe('a correlation id', () => {
  it.each([
    ['order-42 ', 'has a trailing space'],
    [' order-42', 'has a leading space'],
    [' order-42 ', 'has white space around it'],
    ['order-42\n', 'has trailing white space'],
    ['Order-42', 'differs in upper and lower case'],
    ['ORDER-42 ', 'differs in upper and lower case and in white space'],
    ['order‐42'.normalize('NFKC'), 'is "order‐42" instead of "order-42"'],
    ['ｏrder-42', 'is written with other characters that look the same'],
    ['order\u200b-42', 'is written with other characters that look the same'],
    ['order_42', 'is "order_42" instead of "order-42"'],
    ['ordr-42', 'is "ordr-42" instead of "order-42"'],
    ['42', 'is "42" instead of "order-42"'],
    ['shop/order-42', 'is "shop/order-42" instead of "order-42"'],
  ])('%j is near', (correlation_id, difference) => {
    expect(told(signal({}, { correlation_id }))).toBe(
      `same topic, its correlation_id ${difference}`,
    )
  })

  it.each(['order-43', 'order-4', 'order-421', 'order-24', '4', '2', 'invoice-42', 'customer-7'])(
    '%j is another one',
    (correlation_id) => {
      expect(told(signal({}, { correlation_id }))).toBeUndefined()
    },
  )

  it('that the wait itself has with a space is told the other way round', () => {
    const wait = { ...waits.event, correlation_id: 'order-42 ' }
    const difference = told(signal(), { id: id(1), wait })
    expect(difference).toBe('same topic, its correlation_id lacks the trailing space')
  })

  it('is looked for in a few forms, each once', () => {
    expect(variantsOf('order-42')).toEqual([
      'order-42',
      'order-42 ',
      ' order-42',
      'order-42\n',
      'ORDER-42',
    ])
    expect(variantsOf(' ')).not.toContain('')
  })
})

describe('a topic', () => {
  it.each([
    ['payment.setled', 'is "payment.setled" instead of "payment.settled"'],
    ['payment_settled', 'is "payment_settled" instead of "payment.settled"'],
    ['Payment.Settled', 'differs in upper and lower case'],
    ['order.shipped', 'is "order.shipped" instead of "payment.settled"'],
  ])('%j is told when the correlation id is the same', (other, difference) => {
    expect(told(signal({}, { topic: other }))).toBe(`same correlation_id, its topic ${difference}`)
  })

  it('is cut when it is long', () => {
    const difference = told(signal({}, { topic: 'x'.repeat(255) })) ?? ''
    expect(difference.length).toBeLessThan(160)
  })

  it('of a signal that did its part elsewhere is none of ours', () => {
    const delivered = { outcome: 'delivered', expires_at: null } as const
    expect(told(signal(delivered, { topic: 'order.shipped' }))).toBeUndefined()
    expect(told(signal(delivered, { topic: 'payment.setled' }))).toBeDefined()
  })

  it('may differ together with the correlation id', () => {
    expect(told(signal({}, { topic: 'payment.setled', correlation_id: 'order-42 ' }))).toBe(
      'its topic is "payment.setled" instead of "payment.settled", and its correlation_id has a trailing space',
    )
  })
})

describe('the very signal', () => {
  const delivered = (flow_id: string, wait_id: string) =>
    signal({
      outcome: 'delivered',
      expires_at: null,
      deliveries: [{ flow_id, wait_id, revision: 3 }],
    })

  it.each([
    [signal({ flow_id: id(9) }), `aimed at another flow, ${id(9)}`],
    [
      signal({ outcome: 'expired', expires_at: later(-180_000) }),
      'expired 3 minutes before this wait began',
    ],
    [
      signal({ outcome: 'expired', expires_at: later(60_000) }),
      'expired 59 minutes ago and was not taken before',
    ],
    [delivered(id(9), id(8)), `ended the wait of another flow, ${id(9)}`],
    [delivered(id(1), id(8)), 'ended an earlier wait of this flow'],
    [signal(), 'matches and is kept: the state had no room for its payload when it came'],
  ])('%# has a fate that is told', (one, difference) => {
    expect(told(one)).toBe(difference)
  })

  it('misses nothing when it advanced this wait', () => {
    expect(told(delivered(id(1), waits.event.id))).toBeUndefined()
  })
})

describe('a name', () => {
  const named = (name: string, flow_id = id(1)) =>
    signal({ flow_id, target: { kind: 'manual', signal: name } })

  it('is near within its flow alone', () => {
    const manual = { id: id(1), wait: waits.manual }
    expect(told(named('aproved'), manual)).toBe('its name is "aproved" instead of "approved"')
    expect(told(named('rejected'), manual)).toBe('its name is "rejected" instead of "approved"')
    expect(told(named('aproved', id(9)), manual)).toBeUndefined()
  })

  it('is kept for another wait when the flow waits for something else', () => {
    expect(told(named('approved'))).toBe(
      'kept for this flow, which waits for something else: it carries the name "approved"',
    )
  })
})

it('the nearest come first, and of those the newest', () => {
  const all = [
    signal({ id: id(51) }, { topic: 'order.shipped' }),
    signal({ id: id(52) }, { correlation_id: 'order-42 ' }),
    signal({ id: id(53), received_at: later(1) }, { correlation_id: 'Order-42' }),
    signal({ id: id(54), outcome: 'expired', expires_at: later(-1_000) }),
    signal({ id: id(55) }, { topic: 'payment.setled' }),
  ]
  const order = nearMisses(flow, all, now).map(({ signal: one }) => one.id)
  expect(order).toEqual([54, 53, 52, 55, 51].map(id))
})
