// Mints the ids of everything the service makes.

import { randomFillSync } from 'node:crypto'
import { makeId } from '../domain/id.ts'
import { shardCount } from '../domain/shard.ts'

const pool = new Uint8Array(8 * 512)
let used = pool.length
let lastMillis = 0
let counter = 0

/**
 * A new UUIDv7 with the shard's index (0..63) in its last bits; any shard when it does not matter.
 * Ids of one process sort in the order in which they were minted.
 */
export function mintId(shardIndex?: number): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const random = pool.subarray(used, used + 8)
  used += 8
  const millis = Date.now()
  if (millis > lastMillis) {
    lastMillis = millis
    counter = 0
  } else if (++counter > 4095) {
    // More than 4096 in a millisecond, or a clock that was set back: the id runs ahead of the clock.
    lastMillis++
    counter = 0
  }
  return makeId(lastMillis, counter, random, shardIndex ?? (random[7] as number) % shardCount)
}
