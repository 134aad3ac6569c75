import { z } from 'zod'
import { usageSchema } from '../usage.ts'
import { checkPoolingInput, poolingInputShape, poolingOptionShape } from './pooling-options.ts'

/** Body of POST /classify. Unknown fields are dropped. */
export const classificationRequestSchema = z
  .object({ ...poolingOptionShape, ...poolingInputShape })
  .superRefine((request, context) => {
    checkPoolingInput(request, (field, message) => context.addIssue({ code: 'custom', path: [field], message }))
  })

export const classificationSchema = z.looseObject({
  /** Which of the inputs. */
  index: z.number(),
  /** The likeliest; `null` where the model has no names for its classes. */
  label: z.string().nullable(),
  /** Of all classes; logits where `use_activation` is false. */
  probs: z.array(z.number()),
  num_classes: z.number(),
})

/** Answer of POST /classify. */
export const classificationListSchema = z.looseObject({
  id: z.string(),
  object: z.literal('list'),
  /** Seconds since 1970. */
  created: z.number(),
  model: z.string(),
  data: z.array(classificationSchema),
  usage: usageSchema,
})

export type ClassificationRequest = z.infer<typeof classificationRequestSchema>
export type Classification = z.infer<typeof classificationSchema>
export type ClassificationList = z.infer<typeof classificationListSchema>
