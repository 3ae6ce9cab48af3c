// Which shard a row belongs to. On plain Postgres the shard selects nothing; it is in every key so
// that the same rows can be spread over many servers without rewriting any of them.

export const shardCount = 64

/**
 * The stored values of the 64 shards. They are not 0..63: Citus places a row by `hashint2` of this
 * value, and token k is the smallest smallint whose hash falls into the k-th of 64 equal ranges, so
 * that 64, 32, 16 or 8 physical shards all get the same number of tokens. Stored in rows: never to
 * be changed.
 */
export const shardTokens: readonly number[] = [
  60, 8, 82, 1, 31, 88, 79, 24, 10, 92, 48, 109, 5, 112, 50, 166, 4, 7, 17, 172, 16, 96, 170, 85,
  36, 89, 19, 0, 37, 45, 101, 3, 113, 52, 62, 99, 136, 168, 46, 28, 6, 66, 70, 21, 83, 39, 43, 13,
  2, 351, 27, 95, 58, 149, 41, 179, 9, 80, 59, 22, 12, 11, 44, 18,
]

/**
 * The index, 0..63, of the shard of a routing key in a namespace: FNV-1a over the UTF-16 units with
 * the 32-bit finalizer of MurmurHash3. Stored in ids and rows: never to be changed.
 */
export function shardOf(namespace: string, routingKey: string): number {
  const text = `${namespace}\u0000${routingKey}`
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193)
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193)
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 26
}

/** The stored value of a shard's index. */
export function shardToken(index: number): number {
  const token = shardTokens[index]
  if (token === undefined) throw new RangeError(`no shard ${index}`)
  return token
}
