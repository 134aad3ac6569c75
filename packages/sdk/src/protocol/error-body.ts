import { z } from 'zod'

/** Every error of the server; in a stream, the payload of the event before `[DONE]`. */
export const errorBodySchema = z.looseObject({
  error: z.looseObject({
    message: z.string(),
    /** A name for the kind, such as BadRequestError. */
    type: z.string().nullish(),
    /** The field at fault. */
    param: z.string().nullish(),
    /** The HTTP status, or a name where clients act on the cause: "context_length_exceeded". */
    code: z.union([z.number(), z.string()]).nullish(),
  }),
})

export type ErrorBody = z.infer<typeof errorBodySchema>
