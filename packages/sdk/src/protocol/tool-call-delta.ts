import { z } from 'zod'

/** A piece of a call in a stream: id, type and name come with the first, then the arguments in pieces. */
export const toolCallDeltaSchema = z.looseObject({
  /** Which call of the message. */
  index: z.number(),
  id: z.string().nullish(),
  type: z.string().nullish(),
  function: z.looseObject({ name: z.string().nullish(), arguments: z.string().nullish() }),
})

export type WireToolCallDelta = z.infer<typeof toolCallDeltaSchema>
