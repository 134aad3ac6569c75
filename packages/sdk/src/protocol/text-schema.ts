import { z } from 'zod'

/** A body that is text. */
export const textSchema = z.string()
