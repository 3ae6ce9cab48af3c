// The rules of docs/workers.md that the conformance kit checks, and how a verdict reads.

const rules = {
  1: 'Name yourself',
  2: 'Ask, and wait for the answer',
  3: 'Send the token back',
  4: 'Say that you are alive',
  5: 'Stop when you are told to',
  6: 'Repeat what was not answered',
  7: 'Drop what you have lost',
  8: 'Come back when you are told to',
  9: 'Outlive the service',
  10: 'Leave nothing behind',
  11: 'Go on where the last one stopped',
  12: 'Report what happened, in the words of the protocol',
  13: 'Refuse what you do not know',
  14: 'Hand on what you were given',
  21: 'Believe nobody without a signature',
  22: 'Answer with an outcome',
  23: 'Answer a repeat as the first time',
  24: 'Refuse what you do not know',
  25: 'Take a cancel notice',
}

/**
 * @typedef {object} Verdict
 * @property {string} name
 * @property {number} rule
 * @property {string} title What a worker that passes does.
 * @property {string | null} fault What this one does instead, in a sentence; null when it passes.
 */

/** A verdict in a line, or two when it tells of a fault. @param {Verdict} verdict */
export function tell({ name, rule, title, fault }) {
  if (fault === null) return `pass  ${name}: ${title}`
  const broken = rules[rule]
  return `FAIL  ${name}: ${title}\n      ${fault} (rule ${rule} of docs/workers.md: ${broken})`
}
