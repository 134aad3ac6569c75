import { z } from 'zod'
import { boundedArray } from '../bounded-array.ts'
import { usageSchema } from '../usage.ts'
import { poolingOptionShape } from './pooling-options.ts'

/** Every text is a prompt, or half of one. */
const maxTexts = 2048

const textsSchema = z.union([z.string(), boundedArray(z.string(), { min: 1, max: maxTexts })], {
  error: `must be a text or 1 to ${maxTexts} texts`,
})

/** vLLM's names for the two sides. */
export const scoreSides = [
  ['text_1', 'text_2'],
  ['queries', 'documents'],
  ['queries', 'items'],
  ['data_1', 'data_2'],
] as const

export type ScoreSides = (typeof scoreSides)[number]

/** Body of POST /v1/score: each text of one side with the text in its place on the other, or one with all. Unknown fields are dropped. */
export const scoreRequestSchema = z
  .object({
    ...poolingOptionShape,
    text_1: textsSchema.nullish(),
    text_2: textsSchema.nullish(),
    queries: textsSchema.nullish(),
    documents: textsSchema.nullish(),
    items: textsSchema.nullish(),
    data_1: textsSchema.nullish(),
    data_2: textsSchema.nullish(),
  })
  .superRefine((request, context) => {
    const fail = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message })
    const given = [...new Set(scoreSides.flat())].filter((field) => request[field] != null)
    const sides = scoreSides.find((pair) => pair.every((field) => given.includes(field)))
    if (sides === undefined || given.length !== 2) {
      const names = scoreSides.map((pair) => pair.join(' and ')).join(', or ')
      return fail(given[0] ?? 'text_1', `the two sides must be given as ${names}`)
    }
    const [first, second] = sides.map((field) => countTexts(request[field]))
    if (first !== 1 && first !== second) {
      const message = `has ${second} texts for ${first} of ${sides[0]}; it must have as many, or ${sides[0]} one`
      fail(sides[1], message)
    }
  })

/** The names under which a request has its two sides. */
export function scoreSidesOf(request: Readonly<Record<string, unknown>>): ScoreSides {
  return scoreSides.find((pair) => pair.every((field) => request[field] != null)) ?? scoreSides[0]
}

function countTexts(texts: string | readonly string[] | null | undefined): number {
  return typeof texts === 'string' ? 1 : (texts?.length ?? 0)
}

export const scoreSchema = z.looseObject({
  index: z.number(),
  object: z.literal('score'),
  score: z.number(),
})

/** Answer of POST /v1/score. */
export const scoreListSchema = z.looseObject({
  id: z.string(),
  object: z.literal('list'),
  /** Seconds since 1970. */
  created: z.number(),
  model: z.string(),
  data: z.array(scoreSchema),
  usage: usageSchema,
})

export type ScoreRequest = z.infer<typeof scoreRequestSchema>
export type Score = z.infer<typeof scoreSchema>
export type ScoreList = z.infer<typeof scoreListSchema>
