// A logits processor that bans tokens for all requests.
import type { CreateLogitsProcessors } from '@octavo/core/engine'

export const createLogitsProcessors: CreateLogitsProcessors = (_, { tokenIds = [] } = {}) => [
  {
    apply(logits) {
      for (const id of tokenIds as number[]) logits[id] = -Infinity
    },
  },
]
