// What a look at a set-up finds: each fault with what it is, why it matters, and what mends it.

export interface Finding {
  /** What kind of fault, for programs. */
  code: string
  /** `error`: it does not work, or loses data. `warning`: it works, and will bite. */
  level: 'error' | 'warning'
  what: string
  why: string
  repair: string
}

/** One thing that was looked at. */
export interface Check {
  name: string
  /** What was seen, in a few words; null when it could not be looked at. */
  seen: string | null
  findings: Finding[]
}

export function fault(code: string, what: string, why: string, repair: string): Finding {
  return { code, level: 'error', what, why, repair }
}

export function warning(code: string, what: string, why: string, repair: string): Finding {
  return { code, level: 'warning', what, why, repair }
}
