// What the kit sends, and the words of the protocol.

export const knownKinds = ['continue', 'wait', 'succeed', 'fail', 'cancel', 'complete', 'error']

/** Texts that break what takes JSON apart by searching in it. */
export const text = {
  text: 'Zoë, 日本, 🦊, "quoted", back\\slash, a\ttab and\na line',
  lease_token: '0000',
  id: 'not the id',
  items: [{ id: 'no', task: 'conformance.fatal', '}],': '{"cancel_requested":true}' }],
  numbers: [0, -1.5, 1e-7, 123456789],
  nothing: [null, {}, [], '', false],
}
export const large = {
  rows: Array.from({ length: 700 }, (_, row) => ({ row, text: 'äbc "x" '.repeat(6) })),
}
