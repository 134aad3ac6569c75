import { CheckpointError } from '../errors.ts'
import type { RawTensor } from '../loading/raw-tensor.ts'
import { findFloat4, mxfp4GroupSize } from './float4-tensors.ts'
import { checkDtype } from './grouped-tensors.ts'
import type { QuantizationScheme } from './quantization-scheme.ts'

const blockBytes = mxfp4GroupSize / 2

/** gpt-oss's `mxfp4`: of stacked experts' projections, `…_proj_blocks` [experts, out, in / 32, 16] and `…_proj_scales`. */
export function createMxfp4Scheme(): QuantizationScheme {
  return {
    name: 'mxfp4',
    find(source, module) {
      const blocks = source.raw(`${module}.blocks`)
      if (blocks === null) return null
      const [rows, cols] = blockShape(blocks)
      return findFloat4(source, {
        module,
        weight: blocks,
        rows,
        cols,
        scaleName: `${module}.scales`,
        scales: { kind: 'mxfp4' },
        groupSize: mxfp4GroupSize,
      })
    },
  }
}

function blockShape(blocks: RawTensor): [rows: number, cols: number] {
  checkDtype(blocks, ['uint8'])
  const [rows, numBlocks, size] = blocks.shape
  if (blocks.shape.length !== 3 || rows === undefined || numBlocks === undefined || size !== blockBytes)
    throw new CheckpointError(
      blocks.file,
      `expected rows of blocks of ${blockBytes} bytes, found shape [${blocks.shape.join(', ')}] of each expert`,
      { tensor: blocks.name },
    )
  return [rows, numBlocks * mxfp4GroupSize]
}
