// Scales of a few dozen values by the least weighted squared error: for a range of scales the codes are rounded, and the scale
// (and minimum) that suits these codes best follows in closed form; the best of all is kept. The idea is that of ggml's
// `make_qx_quants` and `make_qkx2_quants`; here the error is plain, weighted by nothing but the importance of the columns.

/** Values `[size]` of a block or part of it, and how much the error of each counts. */
export interface WeightedValues {
  readonly values: Float32Array
  readonly weights: Float32Array
}

/** Where in `WeightedValues` a search looks. */
export interface SearchRange {
  readonly start: number
  readonly size: number
}

export interface AffineScale {
  /** 0 or more. */
  scale: number
  /** A value is `scale * code + min`. */
  min: number
}

export interface AffineSearch {
  /** Codes are 0 to this. */
  readonly maxCode: number
  /** Whether 0 must stay between smallest and largest value that codes can have: formats whose minimum is subtracted. */
  readonly isMinNegative: boolean
  /** How many scales are tried besides that of the whole range, and by how many codes they stretch it at most. */
  readonly numSteps: number
  readonly maxStretch: number
}

/** `scale` and `min` for codes 0 … `maxCode`, into `result`. */
export function searchAffine(
  { values, weights }: WeightedValues,
  { start, size, maxCode, isMinNegative, numSteps, maxStretch }: SearchRange & AffineSearch,
  result: AffineScale,
): void {
  let low = isMinNegative ? Math.min(0, values[start]!) : values[start]!
  let high = values[start]!
  let sumW = 0
  let sumX = 0
  let sumXX = 0
  const end = start + size
  for (let i = start; i < end; i++) {
    const x = values[i]!
    const w = weights[i]!
    if (x < low) low = x
    if (x > high) high = x
    sumW += w
    sumX += w * x
    sumXX += w * x * x
  }
  result.min = low
  result.scale = 0
  const range = high - low
  if (!(range > 0) || sumW === 0) {
    // All alike: one code for all. A positive constant of a format without positive minima is a multiple of its scale.
    if (isMinNegative && high > 0) {
      result.min = 0
      result.scale = high / maxCode
    }
    return
  }
  let bestError = Infinity
  let [from, inverse] = [low, maxCode / range]
  for (let step = -1; step <= numSteps; step++) {
    // The last step starts from the best so far.
    if (step === numSteps) {
      if (result.scale === 0) break
      from = result.min
      inverse = 1 / result.scale
    } else if (step >= 0) inverse = (maxCode - maxStretch + (2 * maxStretch * step) / (numSteps - 1)) / range
    let sumL = 0
    let sumLL = 0
    let sumXL = 0
    for (let i = start; i < end; i++) {
      const x = values[i]!
      const at = (x - from) * inverse + 0.5
      const code = at < 0 ? 0 : at > maxCode ? maxCode : at | 0
      const weighted = weights[i]! * code
      sumL += weighted
      sumLL += weighted * code
      sumXL += weighted * x
    }
    const determinant = sumW * sumLL - sumL * sumL
    if (!(determinant > 0)) continue
    let scale = (sumW * sumXL - sumX * sumL) / determinant
    let min = (sumLL * sumX - sumL * sumXL) / determinant
    if (isMinNegative && min > 0) {
      min = 0
      scale = sumXL / sumLL
    }
    const error =
      sumXX + scale * scale * sumLL + min * min * sumW + 2 * (scale * min * sumL - scale * sumXL - min * sumX)
    if (error < bestError && scale > 0) {
      bestError = error
      result.scale = scale
      result.min = min
    }
  }
  if (result.scale === 0) result.scale = range / maxCode
}

export interface SymmetricSearch {
  /** Codes are `-limit` to `limit - 1`. */
  readonly limit: number
  readonly numSteps: number
  readonly maxStretch: number
}

/** The scale of codes `-limit` … `limit - 1`, of either sign; 0 where all values are. */
export function searchSymmetric(
  { values, weights }: WeightedValues,
  { start, size, limit, numSteps, maxStretch }: SearchRange & SymmetricSearch,
): number {
  let extreme = 0
  let other = 0
  const end = start + size
  for (let i = start; i < end; i++) {
    const x = values[i]!
    if (Math.abs(x) > Math.abs(extreme)) extreme = x
  }
  if (extreme === 0) return 0
  for (let i = start; i < end; i++) if (values[i]! * extreme < 0) other = Math.max(other, Math.abs(values[i]!))
  let best = 0
  let bestScale = -extreme / limit
  const maxCode = 2 * limit - 1
  const offset = limit + 0.5
  // The extreme value takes the one code more that the negative side has; where the other side reaches as far, also the reverse.
  const isBalanced = other > (Math.abs(extreme) * (limit - 2)) / limit
  for (let sign = 0; sign < (isBalanced ? 2 : 1); sign++) {
    const top = sign === 0 ? -extreme : extreme
    for (let step = 0; step <= numSteps; step++) {
      const inverse =
        step === numSteps ? 1 / bestScale : (limit - maxStretch + (2 * maxStretch * step) / (numSteps - 1)) / top
      let sumXL = 0
      let sumLL = 0
      for (let i = start; i < end; i++) {
        const x = values[i]!
        const at = x * inverse + offset
        const code = (at < 0 ? 0 : at > maxCode ? maxCode : at | 0) - limit
        const weighted = weights[i]! * code
        sumXL += weighted * x
        sumLL += weighted * code
      }
      // The error is the values' own sum of squares less this.
      if (sumLL > 0 && sumXL * sumXL > best * sumLL) {
        best = (sumXL * sumXL) / sumLL
        bestScale = sumXL / sumLL
      }
    }
  }
  return bestScale
}
