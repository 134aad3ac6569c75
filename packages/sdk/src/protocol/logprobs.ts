import { z } from 'zod'

const tokenLogprobShape = {
  token: z.string(),
  /** Natural logarithm, before penalties and temperature; -9999 stands for minus infinity. */
  logprob: z.number(),
  /** UTF-8 bytes of the token, which may be part of a character. */
  bytes: z.array(z.number()).nullable(),
}

export const chatTokenLogprobSchema = z.looseObject({
  ...tokenLogprobShape,
  top_logprobs: z.array(z.looseObject(tokenLogprobShape)),
})

/** One entry per output token. */
export const chatLogprobsSchema = z.looseObject({ content: z.array(chatTokenLogprobSchema).nullable() })

/** The legacy object of /v1/completions: parallel arrays, one entry per token. The first prompt token has `null`s. */
export const completionLogprobsSchema = z.looseObject({
  tokens: z.array(z.string()),
  token_logprobs: z.array(z.number().nullable()),
  top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
  /** Where each token begins in `text`, in code points. */
  text_offset: z.array(z.number()),
})

/** Per prompt token, token id → entry; the first is `null`. */
export const promptLogprobsSchema = z.array(
  z
    .record(z.string(), z.looseObject({ logprob: z.number(), rank: z.number(), decoded_token: z.string().nullable() }))
    .nullable(),
)

export type ChatTokenLogprob = z.infer<typeof chatTokenLogprobSchema>
export type ChatLogprobs = z.infer<typeof chatLogprobsSchema>
export type CompletionLogprobs = z.infer<typeof completionLogprobsSchema>
export type WirePromptLogprobs = z.infer<typeof promptLogprobsSchema>
