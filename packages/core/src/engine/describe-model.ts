import type { ServedModel } from './engine-client.ts'
import type { FrontModel } from './front-model.ts'
import { poolingInfoOf, tasksOf } from './pooling-processor.ts'

/** What is the same under all names of a model, as long as it is loaded. */
export type ModelDescription = Omit<ServedModel, 'id' | 'root' | 'created' | 'maxModelLen'>

export function describeModel({ chatTemplates, chatFormat, defaultParams, pooling }: FrontModel): ModelDescription {
  const { temperature, topP } = defaultParams
  return {
    hasChatTemplate: !chatTemplates.isEmpty,
    samplingDefaults: { temperature, topP },
    marksThinking: chatFormat !== null && chatFormat.reasoning !== null,
    tasks: tasksOf(pooling),
    pooling: poolingInfoOf(pooling),
  }
}
