// What is said of each error code.

export interface ProblemKind {
  status: number
  /** The same for every problem of this code. */
  title: string
  /** Paragraphs in plain text; names in backticks. */
  explanation: readonly string[]
  /** The `detail` of a typical problem of this code. */
  example: string
}
