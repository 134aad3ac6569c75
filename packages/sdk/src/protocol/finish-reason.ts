import { z } from 'zod'

/** 'abort': the server shut down before the answer was complete. */
export const wireFinishReasonSchema = z.enum(['stop', 'length', 'tool_calls', 'content_filter', 'abort'])

/** The stop string or stop token id that ended the answer; `null` for end-of-sequence and other reasons. */
export const stopReasonSchema = z.union([z.string(), z.number()]).nullable()

export type WireFinishReason = z.infer<typeof wireFinishReasonSchema>
