// Who may send how much at once: so many deliveries to each receiver, fewer to one in trouble, and so
// many in all. One process's own view; nothing of it is stored.

export interface ReceiverSlots {
  /** Deliveries that may be sent to a lane now, at this time in milliseconds. */
  free(lane: string, now: number): number
  /** Until a lane that failed again and again is tried again, in milliseconds; null when it needs no time. */
  restsFor(lane: string, now: number): number | null
  /** Deliveries that may be sent in all. */
  room(): number
  take(lane: string): void
  /** What was taken is free again. `ok` is what came of it; null when nothing was tried. */
  give(lane: string, ok: boolean | null, now: number): void
}

export interface SlotLimits {
  perLane: number
  total: number
  /** Failures in a row after which a lane rests. */
  tolerance: number
  /** How long it rests, in milliseconds: doubled with each failure, up to the second. */
  rest: readonly [first: number, longest: number]
}

export const slotLimits: SlotLimits = {
  perLane: 4,
  total: 64,
  tolerance: 10,
  rest: [60_000, 1_800_000],
}

interface LaneState {
  taken: number
  /** Failures in a row. */
  failures: number
  restUntil: number
}

/** A lane that nothing was heard of for so long begins anew, in milliseconds. */
const memory = 2 * 3_600_000

export function createReceiverSlots(limits: SlotLimits): ReceiverSlots {
  const lanes = new Map<string, LaneState>()
  let taken = 0

  function limitOf({ failures, restUntil }: LaneState, now: number): number {
    if (failures >= limits.tolerance && now < restUntil) return 0
    // A dead receiver holds each connection for as long as it can: it gets one until it answers.
    return failures > 0 ? 1 : limits.perLane
  }

  return {
    free(lane, now) {
      const state = lanes.get(lane)
      if (state === undefined) return limits.perLane
      return Math.max(0, limitOf(state, now) - state.taken)
    },
    restsFor(lane, now) {
      const state = lanes.get(lane)
      if (state === undefined || limitOf(state, now) > 0) return null
      return state.restUntil - now
    },
    room: () => limits.total - taken,
    take(lane) {
      taken++
      const state = lanes.get(lane)
      if (state === undefined) lanes.set(lane, { taken: 1, failures: 0, restUntil: 0 })
      else state.taken++
    },
    give(lane, ok, now) {
      const state = lanes.get(lane)
      if (state === undefined) return
      taken--
      state.taken--
      if (ok === true) state.failures = 0
      if (ok === false) {
        state.failures++
        const [first, longest] = limits.rest
        const doublings = Math.min(30, Math.max(0, state.failures - limits.tolerance))
        state.restUntil = now + Math.min(longest, first * 2 ** doublings)
      }
      if (state.taken > 0) return
      if (state.failures === 0) lanes.delete(lane)
      else if (lanes.size > 10_000) {
        for (const [other, { taken: busy, restUntil }] of lanes) {
          if (busy === 0 && restUntil < now - memory) lanes.delete(other)
        }
      }
    },
  }
}
