// Time as records carry it.

/** RFC 3339 in UTC with milliseconds (`2026-04-23T15:00:00.000Z`): fixed width, so `<` on the text is `<` in time. */
export type Timestamp = string
