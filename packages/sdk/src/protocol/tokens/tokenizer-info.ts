import { z } from 'zod'

/** Answer of GET /tokenizer_info: what the checkpoint's tokenizer_config.json says, without paths, and its chat template. */
export const tokenizerInfoSchema = z.looseObject({
  tokenizer_class: z.string(),
  chat_template: z.string().nullish(),
})

export type TokenizerInfo = z.infer<typeof tokenizerInfoSchema>
