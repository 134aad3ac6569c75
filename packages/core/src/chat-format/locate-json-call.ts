import { frameOf } from './call-frame.ts'
import type { CallFrame } from './chat-format.ts'
import { JsonScanner } from './json-scanner.ts'
import type { LocatedCall, LocatedJson } from './located-call.ts'
import type { ProbeCall } from './template-probe.ts'

type Json = Readonly<Record<string, unknown>>

/** The outermost JSON object that has the call's name and arguments among its members, or one object deeper. */
export function locateJsonCall(text: string, call: ProbeCall): LocatedCall | null {
  const name = text.indexOf(`"${call.name}"`)
  for (let from = text.indexOf('{'); from !== -1 && from < name; from = text.indexOf('{', from + 1)) {
    const object = text.slice(from, from + new JsonScanner().feed(text.slice(from)))
    const value = tryParse(object)
    const syntax = value === null ? null : describe(object, value, call)
    if (syntax !== null) return { from, to: from + object.length, syntax, betweenParameters: '' }
  }
  return null
}

function tryParse(text: string): Json | null {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : null
  } catch {
    return null
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function describe(text: string, object: Json, call: ProbeCall): LocatedJson | null {
  const wanted = JSON.stringify(call.arguments)
  const namePath = pathTo(object, (value) => value === call.name)
  const argumentsPath =
    pathTo(object, (value) => isObject(value) && JSON.stringify(value) === wanted) ??
    pathTo(object, (value) => typeof value === 'string' && JSON.stringify(tryParse(value)) === wanted)
  if (namePath === null || argumentsPath === null) return null
  const idPath = pathTo(object, (value) => value === call.id)
  const hasTextArguments = typeof valueAt(object, argumentsPath) === 'string'
  const known = [namePath, argumentsPath, ...(idPath === null ? [] : [idPath])].flat()
  const keys = [object, ...Object.values(object).filter(isObject)].flatMap((value) => Object.keys(value))
  const argumentKeys = Object.keys(call.arguments)
  return {
    type: 'json',
    frame: frameIn(text, { call, argumentsKey: argumentsPath.at(-1)!, hasId: idPath !== null }),
    namePath,
    argumentsPath,
    idPath,
    constantKeys: keys.filter((key) => !known.includes(key) && !argumentKeys.includes(key)),
    hasTextArguments,
  }
}

function pathTo(object: Json, is: (value: unknown) => boolean): string[] | null {
  for (const [key, value] of Object.entries(object)) if (is(value)) return [key]
  for (const [key, value] of Object.entries(object)) {
    if (!isObject(value)) continue
    for (const [inner, deeper] of Object.entries(value)) if (is(deeper)) return [key, inner]
  }
  return null
}

function valueAt(object: Json, path: readonly string[]): unknown {
  return path.reduce<unknown>((value, key) => (isObject(value) ? value[key] : undefined), object)
}

interface FrameOptions {
  readonly call: ProbeCall
  readonly argumentsKey: string
  readonly hasId: boolean
}

/** The object's text with slots for what differs from call to call. */
function frameIn(text: string, { call, argumentsKey, hasId }: FrameOptions): CallFrame {
  const key = text.indexOf(JSON.stringify(argumentsKey))
  const from = text.indexOf(':', key) + 1
  const blank = text.slice(from).length - text.slice(from).trimStart().length
  const slots = [
    { slot: 'name' as const, from: text.indexOf(call.name), length: call.name.length },
    {
      slot: 'arguments' as const,
      from: from + blank,
      length: new JsonScanner().feed(text.slice(from + blank)),
    },
    ...(hasId ? [{ slot: 'id' as const, from: text.indexOf(call.id), length: call.id.length }] : []),
  ].toSorted((a, b) => a.from - b.from)
  const parts: CallFrame[number][] = []
  let at = 0
  for (const { slot, from: begin, length } of slots) {
    parts.push({ text: text.slice(at, begin) }, slot)
    at = begin + length
  }
  return frameOf([...parts, { text: text.slice(at) }])
}

/** Numbers that are others in the second call count the calls. */
export function withIndex(frame: CallFrame, next: CallFrame | null): CallFrame {
  if (next === null || next.length !== frame.length) return frame
  return frame.flatMap((part, i) => {
    const other = next[i]
    if (typeof part !== 'object' || typeof other !== 'object' || part.text === other.text) return [part]
    const [a, b] = [/\d+/u.exec(part.text), /\d+/u.exec(other.text)]
    if (a === null || b === null || a.index !== b.index) return [part]
    const end = part.text.slice(a.index + a[0].length)
    return [{ text: part.text.slice(0, a.index) }, 'index' as const, { text: end }]
  })
}
