import { createPackedEmbedding, createPackedLinear, moduleOf, unquantized } from '../layers/linear-method.ts'
import type { LinearMethod, LinearMethods, LinearRole, MethodLoader } from '../layers/linear-method.ts'
import { unquantizedMethods } from '../layers/linear-method.ts'
import type { MatrixSelection } from '../loading/matrix-parts.ts'
import type { WeightView } from '../loading/weight-view.ts'
import type { GroupedFormat } from '../tensor/grouped-format.ts'
import type { PackedWeight } from '../tensor/packed-weight.ts'
import { assert } from '../util/assert.ts'
import type { GroupedTensors } from './grouped-tensors.ts'
import { lcm, loadGrouped } from './load-grouped.ts'
import type { QuantizationScheme } from './quantization-scheme.ts'

/** Weights as a quantized checkpoint has them: what its scheme finds, and the others as stored. */
export function createSchemeMethods(scheme: QuantizationScheme | null): LinearMethods {
  if (scheme === null) return unquantizedMethods
  const methods = new Map<LinearRole, LinearMethod>()
  return (_, role) => {
    const known = methods.get(role)
    if (known !== undefined) return known
    const method = createGroupedMethod(scheme, role)
    methods.set(role, method)
    return method
  }
}

function createGroupedMethod(scheme: QuantizationScheme, role: LinearRole): LinearMethod {
  // Found once before it is loaded: merging and cutting ask first.
  const found = new WeakMap<WeightView, Map<string, GroupedTensors | null>>()
  const find = (source: WeightView, name: string): GroupedTensors | null => {
    const modules = found.get(source) ?? new Map<string, GroupedTensors | null>()
    found.set(source, modules)
    const module = moduleOf(name)
    const known = modules.get(module)
    if (known !== undefined) return known
    const tensors = scheme.find(source, module, role)
    modules.set(module, tensors)
    return tensors
  }
  /** `null`: as stored. */
  const pack = (loader: MethodLoader, selection: MatrixSelection): PackedWeight | null => {
    const modules = selection.names.map((name) => find(loader.source, name))
    for (const name of selection.names) found.get(loader.source)?.delete(moduleOf(name))
    const tensors = modules.filter((module) => module !== null)
    if (tensors.length === 0) return null
    assert(
      tensors.length === modules.length,
      `${selection.names.join(', ')} are loaded as one and only some are quantized`,
    )
    return loadGrouped(loader, selection, tensors)
  }
  return {
    canMerge(loader, names) {
      const [first, ...others] = names.map((name) => find(loader.source, name))
      if (first == null) return others.every((other) => other === null) && unquantized.canMerge(loader, names)
      return others.every((other) => other !== null && isSame(first, other))
    },
    columnUnit(loader, name) {
      const tensors = find(loader.source, name)
      if (tensors === null) return unquantized.columnUnit?.(loader, name) ?? 1
      const { format, codeUnit } = tensors
      return format.groupSize === 'channel' || format.hasOrder ? codeUnit : lcm(codeUnit, format.groupSize)
    },
    load(loader, selection) {
      const weight = pack(loader, selection)
      return weight === null ? unquantized.load(loader, selection) : createPackedLinear(weight)
    },
    loadEmbedding(loader, selection) {
      const weight = pack(loader, selection)
      return weight === null ? unquantized.loadEmbedding(loader, selection) : createPackedEmbedding(weight)
    },
  }
}

/** Whether rows of both can stand under one another. */
function isSame(a: GroupedTensors, b: GroupedTensors): boolean {
  return (
    a.cols === b.cols &&
    keyOf(a.format) === keyOf(b.format) &&
    (a.order === null || b.order === null
      ? a.order === b.order
      : a.order.every((group, col) => group === b.order![col]))
  )
}

function keyOf({ bits, codebook, groupSize, scaleDtype, hasZeros, hasOrder }: GroupedFormat): string {
  return JSON.stringify([bits, codebook, groupSize, scaleDtype, hasZeros, hasOrder])
}
