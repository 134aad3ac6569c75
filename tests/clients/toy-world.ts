/** What octavo-tiny knows (its model card): tools it was trained to call, and texts it can turn into JSON. */
import { z } from 'zod'

function toyTool<T extends z.ZodType>(description: string, input: T, resultOf: (input: z.infer<T>) => object) {
  // Spaced as Python does: the model has seen results in no other form.
  const execute = (given: z.infer<T>): string =>
    JSON.stringify(resultOf(given)).replaceAll('":', '": ').replaceAll(',"', ', "')
  return { description, input, execute }
}

/** Tools by name, with what they give back: two, so that prompts stay as short as those it was trained on. */
export const toyTools = {
  get_weather: toyTool('Get the weather in a city.', z.object({ city: z.string() }), ({ city }) => ({
    city,
    condition: 'sunny',
    temperature: 21,
  })),
  set_timer: toyTool('Set a timer.', z.object({ minutes: z.number() }), ({ minutes }) => ({ status: 'ok', minutes })),
}

/** One of them, where it does not matter which. */
export interface ToyTool {
  readonly input: z.ZodType
  execute(input: unknown): string
}
export type ToyToolName = keyof typeof toyTools

/** Questions that need one call each, the call, and the answer made from what the tool gives back. */
export const toyQuestions = [
  {
    question: 'What is the weather in Oslo?',
    tool: 'get_weather',
    input: { city: 'Oslo' },
    answer: 'It is sunny in Oslo, 21 degrees.',
  },
  {
    question: 'Set a timer for 25 minutes.',
    tool: 'set_timer',
    input: { minutes: 25 },
    answer: 'The timer is set for 25 minutes.',
  },
] as const satisfies readonly { question: string; tool: ToyToolName; input: object; answer: string }[]

export const smallTalk = 'Hello!'

export const person = z.object({ name: z.string(), age: z.int(), city: z.string() })

/** Texts with a person in them. */
export const toyPersons: readonly { readonly text: string; readonly person: z.infer<typeof person> }[] = [
  {
    text: 'Extract as JSON: Victor Larsen works as a tailor in Kyoto. Last week he turned 61.',
    person: { name: 'Victor Larsen', age: 61, city: 'Kyoto' },
  },
  {
    text: 'Extract as JSON: In Dublin lives a 33-year-old nurse named Ella Stone.',
    person: { name: 'Ella Stone', age: 33, city: 'Dublin' },
  },
]

/**
 * Kinds of schemas that people give to clients, none of which the model has seen: whatever it says, it must fit.
 * Strings are bounded, or a model that rambles could reach the length limit before it closes one.
 */
const word = z.string().max(12)
export const unseenSchemas: Readonly<Record<string, z.ZodType>> = {
  'an enum': z.object({ mood: z.enum(['glad', 'sad', 'neither']) }),
  'a nullable field': z.object({ nickname: word.nullable(), known: z.boolean() }),
  'a list of objects': z.object({
    rooms: z
      .array(z.object({ label: word, size: z.number().min(0).max(99) }))
      .min(2)
      .max(3),
  }),
  'a union told by a constant': z.object({
    shape: z.discriminatedUnion('kind', [
      z.object({ kind: z.literal('circle'), radius: z.int().min(1).max(9) }),
      z.object({ kind: z.literal('box'), sides: z.array(z.int().min(1).max(9)).length(3) }),
    ]),
  }),
  'objects in objects': z.object({ a: z.object({ b: z.object({ c: z.int().min(-5).max(5) }) }) }),
  'a date and a pattern': z.object({ day: z.iso.date(), code: z.string().regex(/^[A-Z]{2}-\d{3}$/) }),
}
