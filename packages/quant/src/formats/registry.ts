import { InvalidConfigError } from '@octavo/core/backend'
import { nearestName } from '@octavo/core'
import { awqFormat } from './awq-format.ts'
import { compressedTensorsFormat } from './compressed-tensors-format.ts'
import type { CheckpointFormat } from './checkpoint-format.ts'
import { fp8Format } from './fp8-format.ts'
import { createGptqFormat } from './gptq-format.ts'

/** One line per format. */
const formats: readonly CheckpointFormat[] = [
  compressedTensorsFormat,
  createGptqFormat('gptq'),
  createGptqFormat('gptq_v2'),
  awqFormat,
  fp8Format,
]

/** @throws InvalidConfigError naming the nearest format */
export function resolveFormat(name: string): CheckpointFormat {
  const found = formats.find((format) => format.name === name)
  if (found !== undefined) return found
  const names = formats.map((format) => format.name)
  const nearest = nearestName(name, names)
  throw new InvalidConfigError(
    'format',
    `there is no format "${name}"${nearest === null ? '.' : `; did you mean "${nearest}"?`} Known are ${names.join(', ')}`,
  )
}
