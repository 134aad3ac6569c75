import { z } from 'zod'
import { boundedArray } from '../bounded-array.ts'
import { unsupportedOption } from '../unsupported-option.ts'
import { poolingOptionShape } from './pooling-options.ts'

const maxDocuments = 2048

const documentSchema = z.union([z.string(), z.object({ text: z.string() })], {
  error: 'must be a text or {"text": …}; images and other kinds are not supported',
})

/** Body of POST /v1/rerank: Jina's and Cohere's, with vLLM's extra parameters. Unknown fields are dropped. */
export const rerankRequestSchema = z.object({
  ...poolingOptionShape,
  query: z.string(),
  documents: boundedArray(documentSchema, { min: 1, max: maxDocuments }),
  /** How many of the best to answer with; absent and 0: all. */
  top_n: z.int().min(0).nullish(),
  /** Default true. */
  return_documents: z.boolean().nullish(),
  /** Of longer documents the beginning is read; absent and 0: all of them. */
  max_tokens_per_doc: z.int().min(0).nullish(),
  max_chunks_per_doc: unsupportedOption(),
  rank_fields: unsupportedOption(),
})

export const rerankResultSchema = z.looseObject({
  /** Which of the documents. */
  index: z.number(),
  /** Left out where the request says so. */
  document: z.looseObject({ text: z.string() }).optional(),
  relevance_score: z.number(),
})

/** Answer of POST /v1/rerank. */
export const rerankingSchema = z.looseObject({
  id: z.string(),
  model: z.string(),
  usage: z.looseObject({ prompt_tokens: z.number(), total_tokens: z.number() }),
  /** The best first. */
  results: z.array(rerankResultSchema),
})

export type RerankRequest = z.infer<typeof rerankRequestSchema>
export type RerankResult = z.infer<typeof rerankResultSchema>
export type Reranking = z.infer<typeof rerankingSchema>
