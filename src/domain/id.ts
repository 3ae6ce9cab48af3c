// Ids: UUIDv7 (RFC 9562) whose last six bits carry the shard, so that an id alone finds its rows.

import { shardCount } from './shard.ts'

const pattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Whether a text is a UUID in its canonical lower-case form, the only one that ids have here. */
export function isId(text: string): boolean {
  return pattern.test(text)
}

/**
 * A UUIDv7 from a time, a counter and random bytes; the last six bits are the shard's index.
 *
 * @param millis Unix time in milliseconds.
 * @param counter 0..4095, rising within a millisecond: ids of one maker sort as they were made
 *   (RFC 9562, 6.2, method 1).
 * @param random 8 bytes from a cryptographic source; 56 bits of them stay.
 * @param shardIndex 0..63.
 */
export function makeId(
  millis: number,
  counter: number,
  random: Uint8Array,
  shardIndex: number,
): string {
  const bytes = new Uint8Array(16)
  for (let i = 5, rest = millis; i >= 0; i--) {
    bytes[i] = rest % 256
    rest = Math.floor(rest / 256)
  }
  bytes[6] = 0x70 | (counter >>> 8)
  bytes[7] = counter & 0xff
  bytes.set(random.subarray(0, 8), 8)
  bytes[8] = 0x80 | ((bytes[8] as number) & 0x3f)
  bytes[15] = ((bytes[15] as number) & 0xc0) | shardIndex
  let hex = ''
  for (const byte of bytes) hex += hexOf[byte]
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

const hexOf = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** The shard index, 0..63, that an id carries. */
export function shardIndexOf(id: string): number {
  return Number.parseInt(id.slice(-2), 16) % shardCount
}
