import { assert } from '../util/assert.ts'
import type { KvLayout, KvStorage } from './kv-storage.ts'

/** Of a model, or a stage, whose layers keep nothing: blocks that take no memory, on every backend. */
export function createNoKvStorage(layout: Omit<KvLayout, 'numLayers'>): KvStorage {
  const noLayer = (layer: number): never => assert(false, `KV layer ${layer} of a model that keeps nothing`) as never
  return {
    layout: { ...layout, numLayers: 0 },
    sizeInBytes: 0,
    copyBlock() {},
    writeRows: noLayer,
    gather: noLayer,
    dispose() {},
  }
}
