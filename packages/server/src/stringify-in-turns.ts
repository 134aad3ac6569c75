import type { TurnQueue } from '@octavo/core'

/** Written in one go; some 0.5 ms. */
const charsAtOnce = 65_536
/** Values that `JSON.stringify` gets at once. */
const maxValuesAtOnce = 512

/** `JSON.stringify` of plain data, letting others run in between where it is large. */
export async function stringifyInTurns(value: object, turns: TurnQueue): Promise<string> {
  const pieces = jsonPieces(value)
  const written: string[] = []
  let isDone = false
  const writeSlice = (): void => {
    for (let length = 0; length < charsAtOnce && !isDone;) {
      const piece = pieces.next()
      isDone = piece.done === true
      if (piece.done === true) continue
      written.push(piece.value)
      length += piece.value.length
    }
  }
  while (!isDone) await turns.run(writeSlice, { caller: value })
  return written.join('')
}

function* jsonPieces(value: unknown): Generator<string, void, undefined> {
  if (typeof value !== 'object' || value === null || valuesLeft(value, maxValuesAtOnce) >= 0) {
    yield JSON.stringify(value) ?? 'null'
  } else if (Array.isArray(value)) {
    yield '['
    for (const [i, element] of value.entries()) {
      if (i > 0) yield ','
      yield* jsonPieces(element)
    }
    yield ']'
  } else {
    yield '{'
    let separator = ''
    for (const [key, element] of Object.entries(value)) {
      if (element === undefined) continue
      yield `${separator}${JSON.stringify(key)}:`
      yield* jsonPieces(element)
      separator = ','
    }
    yield '}'
  }
}

/** Of so many values, how many are left after those in this one; below 0 as soon as there are too few. */
function valuesLeft(value: unknown, limit: number): number {
  let left = limit - 1
  if (typeof value !== 'object' || value === null) return left
  for (const element of Array.isArray(value) ? value : Object.values(value)) {
    if (left < 0) return left
    left = valuesLeft(element, left)
  }
  return left
}
