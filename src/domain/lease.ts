// The token of a claim as workers get it: it names the flow too, so that a report finds its way to the
// flow's lock without a look-up.

/** What a token says. */
export interface LeaseClaim {
  flow_id: string
  /** The fence: compared with that of the newest claim. */
  token: string
}

const pattern = /^[0-9a-f]{64}$/

export function leaseToken({ flow_id, token }: LeaseClaim): string {
  return `${flow_id}${token}`.replaceAll('-', '')
}

/** What a token says, or null when it is none of ours. */
export function readLeaseToken(text: string): LeaseClaim | null {
  if (!pattern.test(text)) return null
  return { flow_id: dashed(text.slice(0, 32)), token: dashed(text.slice(32)) }
}

/** The canonical form of a UUID. */
function dashed(hex: string): string {
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-')
}
