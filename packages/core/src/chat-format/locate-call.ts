import { frameOf } from './call-frame.ts'
import type { CallFrame } from './chat-format.ts'
import { JsonScanner } from './json-scanner.ts'
import { locateJsonCall } from './locate-json-call.ts'
import type { LocatedCall } from './located-call.ts'
import { probe, type ProbeCall } from './template-probe.ts'

/** Finds the first call of a text, which is known; null where it is in no known form. */
export function locateCall(text: string, call: ProbeCall): LocatedCall | null {
  return locateJsonCall(text, call) ?? locateNamed(text, call) ?? locateTagged(text, call)
}

/** The name and the id in the order they are in, and what is between them. */
interface Head {
  readonly from: number
  readonly to: number
  readonly frame: CallFrame
  readonly hasNameInId: boolean
}

function headIn(text: string, call: ProbeCall): Head | null {
  const args = text.indexOf(probe.keys[0])
  const found = (['name', 'id'] as const)
    .map((slot) => ({ slot, needle: call[slot], at: text.indexOf(call[slot]) }))
    .filter(({ at }) => at !== -1 && at < (args === -1 ? text.length : args))
    .toSorted((a, b) => a.at - b.at)
  const [first, second] = found
  if (first === undefined) return null
  if (second === undefined) {
    const to = first.at + first.needle.length
    return { from: first.at, to, frame: [first.slot], hasNameInId: first.slot === 'id' }
  }
  const between = text.slice(first.at + first.needle.length, second.at)
  const frame = frameOf([first.slot, { text: between }, second.slot])
  return { from: first.at, to: second.at + second.needle.length, frame, hasNameInId: false }
}

function locateNamed(text: string, call: ProbeCall): LocatedCall | null {
  const head = headIn(text, call)
  if (head === null) return null
  const from = text.indexOf('{', head.to)
  const to = from === -1 ? -1 : endOfArguments(text, from, call)
  if (to === -1) return null
  const frame = frameOf([...head.frame, { text: text.slice(head.to, from) }, 'arguments'])
  const syntax = { type: 'named', frame, hasNameInId: head.hasNameInId } as const
  return { from: head.from, to, syntax, betweenParameters: '' }
}

function endOfArguments(text: string, from: number, call: ProbeCall): number {
  const length = new JsonScanner().feed(text.slice(from))
  try {
    const value: unknown = JSON.parse(text.slice(from, from + length))
    return JSON.stringify(value) === JSON.stringify(call.arguments) ? from + length : -1
  } catch {
    return -1
  }
}

function locateTagged(text: string, call: ProbeCall): LocatedCall | null {
  const head = headIn(text, call)
  if (head === null || head.hasNameInId) return null
  const bounds: { from: number; to: number }[] = []
  for (const needle of [probe.keys[0], probe.values[0], probe.keys[1], probe.values[1]]) {
    const from = text.indexOf(needle, bounds.at(-1)?.to ?? head.to)
    if (from === -1) return null
    bounds.push({ from, to: from + needle.length })
  }
  const [key, value, otherKey, otherValue] = bounds as [Bounds, Bounds, Bounds, Bounds]
  const keyEnd = text.slice(key.to, value.from)
  // Without a word between them, keys and values cannot be told apart; quotes mean a form of its own.
  if (keyEnd.trim() === '' || keyEnd !== text.slice(otherKey.to, otherValue.from) || /["'=:]\s*$/u.test(keyEnd))
    return null
  const parameter = { begin: text.slice(head.to, key.from), keyEnd }
  return {
    from: head.from,
    to: otherValue.to,
    syntax: { type: 'tagged', frame: head.frame, parameter },
    betweenParameters: text.slice(value.to, otherKey.from),
  }
}

interface Bounds {
  readonly from: number
  readonly to: number
}
