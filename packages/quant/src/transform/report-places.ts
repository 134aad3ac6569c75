import type { Logger } from '@octavo/core'
import { QuantizationError } from '@octavo/core/quantization'
import type { DecoderLayer } from '../decoder-layer.ts'
import type { MissingPlace, SmoothPlace } from './smooth-place.ts'

/** Says which places a pass leaves as they are and why: each kind once, as layers repeat. */
export function createPlaceReporter(
  pass: string,
  logger: Logger,
): (layer: DecoderLayer, missing: readonly MissingPlace[]) => void {
  const said = new Set<string>()
  return ({ name: layer }, missing) => {
    for (const { balance, reason } of missing) {
      const inLayer = (name: string): string => (name.startsWith(`${layer}.`) ? name.slice(layer.length + 1) : name)
      const names = balance.map(inLayer)
      const key = `${names.join().replaceAll(/\d+/g, 'N')}: ${reason}`
      if (said.has(key)) continue
      said.add(key)
      logger.info(
        `${pass}: inputs of ${names.slice(0, 4).join(', ')} are not scaled, in ${layer} and in layers like it: ${reason}`,
      )
    }
  }
}

/** @throws QuantizationError where a weight has its codes already: they can't be scaled any more */
export function refuseQuantized({ name: layer }: DecoderLayer, places: readonly SmoothPlace[]): void {
  for (const { smooth, balance } of places) {
    const modules = smooth.kind === 'linear' ? [smooth.module, ...balance] : balance
    const module = modules.find(({ quantized }) => quantized !== null)
    if (module !== undefined)
      throw new QuantizationError('it is quantized already, and the pass scales weights before that; put it before', {
        layer,
        module: module.name,
      })
  }
}
