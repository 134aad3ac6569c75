import type { ModelConfig } from '../config/model-config.ts'
import type { PoolingConfig } from '../config/pooling-config.ts'

export function resolvePooling(_checkpoint: unknown, config: ModelConfig): PoolingConfig {
  return {
    tasks: ['embed', 'token_embed'],
    canGenerate: true,
    needsWholePrompts: false,
    type: 'last',
    isNormalized: true,
    dimensions: config.hiddenSize,
    matryoshka: null,
    dense: [],
    classifier: null,
    pairs: 'concatenated',
    prompts: {},
  }
}
