import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileStops, StopMatcher } from './stop-strings.ts'

const stopsArbitrary = fc.array(fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 5 }), {
  minLength: 1,
  maxLength: 4,
})
const piecesArbitrary = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 6 }), { maxLength: 8 })

describe('StopMatcher', () => {
  it('takes the match that completes first, of equals the longest', () => {
    expect(new StopMatcher(compileStops(['here', 'stop', 'top'])).push('xx stop here')).toEqual({
      stop: 'stop',
      start: 3,
      end: 7,
    })
    expect(new StopMatcher(compileStops(['stop'])).push('nothing')).toBeNull()
  })

  it('finds what a search of the whole text finds, however the text is cut', () => {
    fc.assert(
      fc.property(piecesArbitrary, stopsArbitrary, (pieces, stops) => {
        const text = pieces.join('')
        const end = Array.from(text, (_, i) => i + 1).find((at) =>
          stops.some((stop) => text.slice(0, at).endsWith(stop)),
        )
        const matcher = new StopMatcher(compileStops(stops))
        const match = pieces.reduce<ReturnType<StopMatcher['push']>>(
          (found, piece) => found ?? matcher.push(piece),
          null,
        )
        expect(match?.end).toBe(end)
        if (match !== null) {
          expect(text.slice(match.start, match.end)).toBe(match.stop)
          expect(
            stops.every((stop) => stop.length <= match.stop.length || !text.slice(0, match.end).endsWith(stop)),
          ).toBe(true)
        }
      }),
    )
  })

  it('holds back the longest suffix that a stop string begins with', () => {
    fc.assert(
      fc.property(piecesArbitrary, stopsArbitrary, (pieces, stops) => {
        const text = pieces.join('')
        const matcher = new StopMatcher(compileStops(stops))
        for (const piece of pieces) matcher.pass(piece)
        const lengths = Array.from({ length: text.length + 1 }, (_, n) => n)
        const naive = lengths.filter(
          (n) => n === 0 || stops.some((stop) => n < stop.length && stop.startsWith(text.slice(text.length - n))),
        )
        expect(matcher.heldBackLength).toBe(Math.max(...naive))
      }),
    )
  })
})
