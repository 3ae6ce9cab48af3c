// Subjects of NATS: tokens between dots, `*` for any one token, `>` for all that follow.

/** Where audit events go, in front of the namespace and the kind. */
export const eventSubjects = 'taskflow.events'

/** What is wrong with a subject, to stand behind its name; null when nothing is. */
export function subjectFault(
  subject: string,
  { wildcards }: { wildcards: boolean },
): string | null {
  const tokens = subject.split('.')
  if (tokens.includes('')) return 'has an empty token: remove the dot too many'
  if (/[\s\0]/.test(subject)) return 'must not have white space'
  if (subject.startsWith('$')) return 'begins with $, which belongs to the server'
  const wild = tokens.filter((token) => token === '*' || token === '>')
  if (!wildcards && wild.length > 0) return 'must not have wildcards'
  const tail = tokens.indexOf('>')
  return tail >= 0 && tail < tokens.length - 1 ? 'can have > as its last token only' : null
}

/** Whether some subject matches both patterns. */
export function overlap(one: string, other: string): boolean {
  const [a, b] = [one.split('.'), other.split('.')]
  for (let i = 0; ; i++) {
    const [left, right] = [a[i], b[i]]
    if (left === undefined || right === undefined) return left === right
    if (left === '>' || right === '>') return true
    if (left !== right && left !== '*' && right !== '*') return false
  }
}

/** A text as one token: what would end or widen the subject becomes `_`. */
export function tokenOf(text: string): string {
  return text.replace(/[.*>\s\p{C}]/gu, '_') || '_'
}
