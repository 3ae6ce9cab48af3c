// Which `traceparent` headers count.

import { expect, it } from 'vitest'
import { readTraceparent } from '../../src/domain/trace.ts'

const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
const span = '00f067aa0ba902b7'

it.each([
  ['of this version', `00-${trace}-${span}-01`, `00-${trace}-${span}-01`],
  ['not sampled', `00-${trace}-${span}-00`, `00-${trace}-${span}-00`],
  ['of a later version', `01-${trace}-${span}-01`, `00-${trace}-${span}-01`],
  ['of a later version with more', `cc-${trace}-${span}-09-what`, `00-${trace}-${span}-09`],
  ['absent', undefined, null],
  ['empty', '', null],
  ['this version with more', `00-${trace}-${span}-01-what`, null],
  ['a later version with a tail that is none', `01-${trace}-${span}-01what`, null],
  ['the version that cannot be', `ff-${trace}-${span}-01`, null],
  ['no trace', `00-${'0'.repeat(32)}-${span}-01`, null],
  ['no span', `00-${trace}-${'0'.repeat(16)}-01`, null],
  ['upper case', `00-${trace.toUpperCase()}-${span}-01`, null],
  ['too short', `00-${trace}-${span}-1`, null],
  ['two in one', `00-${trace}-${span}-01, 00-${trace}-${span}-01`, null],
  ['endless', `01-${trace}-${span}-01-${'x'.repeat(500)}`, null],
  ['with a line break', `00-${trace}-${span}-01\n`, null],
])('%s', (_, text, read) => {
  expect(readTraceparent(text)).toBe(read)
})
