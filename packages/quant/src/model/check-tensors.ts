import { checkAllRead, WeightView } from '@octavo/core/loading'
import type { WeightSource } from '@octavo/core/loading'
import type { DecoderDesign } from '@octavo/core/model'
import type { OpenedDecoder } from './open-decoder.ts'

/**
 * A weight that nothing reads is an error, as it is where the model is run: here of those that are in no layer.
 *
 * @throws CheckpointError naming some of them
 */
export function checkOuterTensors({ view, design, config }: OpenedDecoder): void {
  const layers = Array.from({ length: config.numLayers }, (_, index) => `${design.layers}.${index}`)
  const others = [design.embedding, design.positions, design.finalNorm, design.lmHead].filter((name) => name !== null)
  checkRest(view, { design, prefixes: [...layers, ...others], names: [] })
}

interface Known {
  readonly design: DecoderDesign
  /** Of tensors `<prefix>.…`. */
  readonly prefixes: readonly string[]
  readonly names: Iterable<string>
}

/** Throws CheckpointError for weights of the source that are none of these. */
export function checkRest(source: WeightSource, { design, prefixes, names }: Known): void {
  const rest = new WeightView(source)
  rest.skip(...prefixes)
  for (const name of names) rest.discard(name)
  checkAllRead(source, rest, design.unused)
}
