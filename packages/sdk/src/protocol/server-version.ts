import { z } from 'zod'

/** Answer of GET /version. */
export const serverVersionSchema = z.looseObject({ version: z.string() })

export type ServerVersion = z.infer<typeof serverVersionSchema>
