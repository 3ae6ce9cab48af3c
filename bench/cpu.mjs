// CPU time and memory of other processes, read from /proc. Where there is none, figures are left out.

import { readdirSync, readFileSync } from 'node:fs'

/** Of all Linux builds that Node runs on. */
const ticksPerSecond = 100

/** @param {number} pid */
function statOf(pid) {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The name in parentheses may hold spaces.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return {
    parent: Number(fields[1]),
    own: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
    ended: (Number(fields[13]) + Number(fields[14])) / ticksPerSecond,
  }
}

/** CPU seconds of a process so far. @param {number} pid @returns {number | null} */
export function cpuOf(pid) {
  try {
    return statOf(pid).own
  } catch {
    return null
  }
}

/** CPU seconds of a process and its children so far, ended ones too. @param {number} pid @returns {number | null} */
export function cpuOfChildren(pid) {
  try {
    const { own, ended } = statOf(pid)
    let sum = own + ended
    for (const name of readdirSync('/proc')) {
      if (!/^\d+$/.test(name)) continue
      try {
        const stat = statOf(Number(name))
        if (stat.parent === pid) sum += stat.own
      } catch {
        // It ended meanwhile, and its parent has its time.
      }
    }
    return sum
  } catch {
    return null
  }
}

/** Resident memory in MB. @param {number} pid @returns {number | null} */
export function residentMegabytes(pid) {
  try {
    const match = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    return match === null ? null : Number(match[1]) / 1024
  } catch {
    return null
  }
}
