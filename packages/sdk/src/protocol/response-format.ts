import { z } from 'zod'

/** Only plain text for now; JSON modes are refused rather than ignored. */
export const responseFormatSchema = z
  .custom<{ type: 'text' }>(
    (value) => typeof value === 'object' && value !== null && 'type' in value && value.type === 'text',
    {
      error: 'only {"type":"text"} is supported so far; leave it out',
    },
  )
  .nullish()
