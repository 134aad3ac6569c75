import { z } from 'zod'

/** Answer of GET /load. */
export const serverLoadSchema = z.looseObject({
  /** Requests to models that are not answered to their end. */
  server_load: z.number(),
})

export type ServerLoad = z.infer<typeof serverLoadSchema>
