import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { openCheckpoint } from '@octavo/core/loading'
import type { Checkpoint } from '@octavo/core/loading'
import { QuantizationError } from '@octavo/core/quantization'
import { checkOuterTensors } from './check-tensors.ts'
import { openDecoder } from './open-decoder.ts'
import type { OpenedDecoder } from './open-decoder.ts'

/**
 * Opens a folder in Hugging Face's layout whose weights are floats: what is to be quantized. The caller closes `source`.
 *
 * @throws CheckpointError for weights that are no part of the model
 * @throws QuantizationError for GGUF files, for what is quantized already, and for models that have no layers to work on
 */
export async function openFloatDecoder(path: string): Promise<OpenedDecoder> {
  const checkpoint = await openCheckpoint(path)
  refuseGguf(checkpoint)
  refuseQuantized(checkpoint)
  const decoder = await openDecoder(checkpoint)
  try {
    checkOuterTensors(decoder)
    return decoder
  } catch (error) {
    decoder.source.close()
    throw error
  }
}

function refuseGguf({ path }: Checkpoint): void {
  if (statSync(path).isDirectory() && existsSync(join(path, 'config.json'))) return
  throw new QuantizationError(
    `${path} is a GGUF file; quantize the model's safetensors checkpoint instead, from which a GGUF file can be written too`,
  )
}

function refuseQuantized({ path, quantization }: Checkpoint): void {
  if (quantization === null) return
  throw new QuantizationError(
    `${path} is quantized already (${quantization.file} says so). Quantize the original checkpoint: what rounding has lost stays lost. To change its format, convert it`,
  )
}
