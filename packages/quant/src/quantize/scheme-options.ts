import type { WeightScheme } from '../weight-scheme.ts'
import { checkScheme } from './scheme-format.ts'

/** A scheme in short; what is left out is that of W4A16: int4 in groups of 128 around zero. */
export interface SchemeOptions {
  /** 2 to 8 for integers, 4 or 8 for floats. Default 4. */
  readonly bits?: number
  /** What shares a scale: so many neighbours of a row, or all of it, or the whole matrix, or a block. Default 128. */
  readonly groupSize?: number | 'channel' | 'tensor' | readonly [rows: number, cols: number]
  /** Default 'int'. */
  readonly type?: WeightScheme['type']
  /** Without zero points. Default true. */
  readonly isSymmetric?: boolean
  /** Default 'minmax'. */
  readonly observer?: WeightScheme['observer']
  /** Default float16 for integers, float32 for floats. */
  readonly scaleDtype?: WeightScheme['scaleDtype']
  /** A whole scheme, in place of all the above. */
  readonly scheme?: WeightScheme
}

/** @throws InvalidConfigError for a scheme that no weight can have. */
export function resolveScheme(options: SchemeOptions): WeightScheme {
  const { bits = 4, groupSize = 128, type = 'int', isSymmetric = true, observer = 'minmax' } = options
  const scheme: WeightScheme = options.scheme ?? {
    numBits: bits,
    type,
    isSymmetric,
    ...sharing(groupSize),
    scaleDtype: options.scaleDtype ?? (type === 'int' ? 'float16' : 'float32'),
    observer,
  }
  checkScheme(scheme)
  return scheme
}

function sharing(
  groupSize: NonNullable<SchemeOptions['groupSize']>,
): Pick<WeightScheme, 'strategy' | 'groupSize' | 'blockShape'> {
  if (typeof groupSize === 'number') return { strategy: 'group', groupSize, blockShape: null }
  if (typeof groupSize === 'string') return { strategy: groupSize, groupSize: null, blockShape: null }
  return { strategy: 'block', groupSize: null, blockShape: groupSize }
}
