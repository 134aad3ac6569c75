import { z } from 'zod'
import { jsonObjectSchema } from './json-object.ts'

/** A function signature; it reaches the chat template unchanged. */
export const toolSchema = z.looseObject({
  type: z.literal('function'),
  function: z.looseObject({
    name: z.string().min(1),
    description: z.string().nullish(),
    parameters: jsonObjectSchema.nullish(),
    strict: z.boolean().nullish(),
  }),
})

/** 'none' leaves the tools out of the prompt. Forcing a call needs constrained decoding, which is refused for now. */
export const toolChoiceSchema = z.enum(['none', 'auto'], {
  error: 'calls of tools are not supported yet; only "none" and "auto" are known so far',
})

export type WireTool = z.infer<typeof toolSchema>
export type ToolChoice = z.infer<typeof toolChoiceSchema>
