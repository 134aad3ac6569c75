import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { ToolDefinition } from '../tokenizer/chat-message.ts'
import { families, type Family, tokensOf, type Turn, type Written, write } from './families.case.ts'
import { fallbackFormats, ownFormats } from './known-formats.ts'
import { mergeDeltas, type ParsedMessage } from './merge-deltas.case.ts'
import { createOutputParser } from './output-parser.ts'
import { createRandom, randomCall } from './random-calls.case.ts'

const numCallsPerFamily = 75

interface Piece {
  readonly text: string
  readonly isSpecial: boolean
}

interface Parsed {
  readonly family: Family
  readonly promptTail: string
  readonly tools: readonly ToolDefinition[]
}

function parse({ family, promptTail, tools }: Parsed, pieces: readonly Piece[]): ParsedMessage {
  let numIds = 0
  const parser = createOutputParser(family.format, { tools, promptTail, createId: () => `id${numIds++}` })
  const deltas = pieces.map(({ text, isSpecial }) => {
    parser.push(text, isSpecial)
    return parser.take()
  })
  parser.finish()
  return mergeDeltas([...deltas, parser.take()])
}

/** Plain text cut after every character; special tokens stay whole. */
const characters = (pieces: readonly Piece[]): Piece[] =>
  pieces.flatMap((piece) =>
    piece.isSpecial
      ? [piece]
      : Array.from({ length: piece.text.length }, (_, i) => ({ ...piece, text: piece.text[i]! })),
  )

function randomPieces(pieces: readonly Piece[], random: () => number): Piece[] {
  return pieces.flatMap((piece) => {
    if (piece.isSpecial) return [piece]
    const cuts: Piece[] = []
    for (let at = 0; at < piece.text.length;) {
      const length = 1 + Math.floor(random() * 12)
      cuts.push({ ...piece, text: piece.text.slice(at, at + length) })
      at += length
    }
    return cuts
  })
}

const callOf = (family: Family): string => family.format.toolCalls?.call.type ?? ''

/** What of an id comes back: dialects that write the name in it write nothing else. */
function modelId(family: Family, name: string, index: number): string {
  const { toolCalls } = family.format
  return toolCalls?.call.type === 'named' && toolCalls.call.hasNameInId ? `functions.${name}:${index}` : 'abcdefgh0'
}

interface RandomTurn {
  readonly turn: Turn
  readonly tools: readonly ToolDefinition[]
}

function randomTurn(family: Family, random: () => number, numCalls: number): RandomTurn {
  const isTagged = callOf(family) === 'tagged'
  const made = Array.from({ length: numCalls }, (_, i) => randomCall({ random, isTagged }, i))
  const isPythonic = callOf(family) === 'pythonic'
  const rename = (name: string): string => (isPythonic ? name.replaceAll(/[^\p{L}\p{N}_.]/gu, '_') : name)
  const renameKeys = (args: Readonly<Record<string, unknown>>): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(args).map(([key, value]) => [isPythonic ? key.replaceAll(/[^\p{L}\p{N}_]/gu, '_') : key, value]),
    )
  const calls = made.map(({ call }, i) => ({
    name: rename(call.name),
    arguments: renameKeys(call.arguments),
    id: modelId(family, rename(call.name), i),
  }))
  const tools = made.map(({ tool }, i) => ({ ...tool, function: { ...tool.function, name: calls[i]!.name } }))
  const hasContent = !family.dropsContent && random() < 0.5
  return {
    turn: { reasoning: 'I think\n\nabout it.', content: hasContent ? 'Let me see: a < b {x}.' : '', calls },
    tools,
  }
}

const hasReasoning = ({ text }: Written): boolean => text.includes('I think')

function expectSameAtEveryCut(context: Parsed, text: string, whole: ParsedMessage): void {
  for (let at = 1; at < text.length; at++) {
    const pieces = [text.slice(0, at), text.slice(at)].map((part) => ({ text: part, isSpecial: false }))
    expect(parse(context, pieces), text).toEqual(whole)
  }
}

/** A text that ends anywhere has the calls so far, the last one with the beginning of its arguments. */
function expectBeginningsAtEveryEnd(context: Parsed, text: string, whole: ParsedMessage): void {
  for (let end = 0; end < text.length; end++) {
    const { toolCalls } = parse(context, [{ text: text.slice(0, end), isSpecial: false }])
    for (const [i, call] of toolCalls.entries()) {
      const { name, arguments: args } = whole.toolCalls[i]!
      expect(call.name, text.slice(0, end)).toBe(name)
      // Values in tags become JSON when their end has come; harmony's calls end with a token that nobody hands on.
      const isGiven = i < toolCalls.length - 1 || !['tagged', 'harmony'].includes(callOf(context.family))
      if (isGiven) expect(args.startsWith(call.arguments), text.slice(0, end)).toBe(true)
    }
  }
}

describe.each(families)('$name', (family) => {
  const maxCalls = family.format.toolCalls?.separator === null && family.name !== 'gpt-oss' ? 1 : 3

  it('has a syntax for calls', () => {
    expect(family.format.whyNoToolCalls).toBeNull()
    expect(family.format.toolCalls).not.toBeNull()
  })

  it(`reads ${numCallsPerFamily} calls, however they are cut`, () => {
    const random = createRandom(family.name.length * 1000 + family.name.charCodeAt(0))
    for (let numCalls = 0; numCalls < numCallsPerFamily;) {
      const { turn, tools } = randomTurn(family, random, 1 + Math.floor(random() * maxCalls))
      const written = write(family, turn, tools)
      const context = { family, promptTail: written.promptTail, tools }
      const tokens = tokensOf(written.text, family.special)
      const whole = parse(context, tokens)
      expect(
        whole.toolCalls.map(({ name }) => name),
        written.text,
      ).toEqual(turn.calls.map(({ name }) => name))
      expect(
        whole.toolCalls.map(({ arguments: args }) => JSON.parse(args) as unknown),
        written.text,
      ).toEqual(turn.calls.map(({ arguments: args }) => args))
      expect(whole.content, written.text).toBe(turn.content)
      expect(whole.reasoning, written.text).toBe(hasReasoning(written) ? turn.reasoning : '')
      expect(parse(context, characters(tokens)), written.text).toEqual(whole)
      expect(parse(context, randomPieces(tokens, random)), written.text).toEqual(whole)
      // Whatever is special comes as plain text from some tokenizers.
      expect(parse(context, [{ text: written.text, isSpecial: false }]), written.text).toEqual(whole)
      if (numCalls < 4) {
        expectSameAtEveryCut(context, written.text, whole)
        expectBeginningsAtEveryEnd(context, written.text, whole)
      }
      numCalls += turn.calls.length
    }
  })
})

it('derives the formats of most families without an override', () => {
  for (const { name, template, format, isOverride } of families) {
    const isKnown = ownFormats.some((own) => own.matches(template.source))
    const { call } = format.toolCalls!
    const isFallback = fallbackFormats.some((known) => known.format.toolCalls?.call === call)
    expect([name, isKnown || isFallback]).toEqual([name, isOverride])
  }
  const derived = families.filter(({ isOverride }) => !isOverride)
  expect(derived.length).toBeGreaterThanOrEqual(12)
  expect(families.length * numCallsPerFamily).toBeGreaterThanOrEqual(2000)
})

it('docs/tools.md says which formats are derived', () => {
  const docs = readFileSync(new URL('../../../../docs/tools.md', import.meta.url), 'utf8')
  const rows = docs.split('\n').flatMap((line) => [...line.matchAll(/^\| `([^`]+)`[^|]*\|[^|]*\| (derived|override)/g)])
  expect(rows.map(([, name, way]) => [name, way === 'override'])).toEqual(
    families.map(({ name, isOverride }) => [name, isOverride]),
  )
})
