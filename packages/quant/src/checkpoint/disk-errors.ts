import { QuantizationError } from '@octavo/core/quantization'

const fullCodes: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

/** Runs what writes to `path`; says in words what the system says in codes. */
export function onDisk<T>(path: string, write: () => T): T {
  try {
    return write()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null
    if (fullCodes.has(code))
      throw new QuantizationError(
        `${path}: the disk is full (${String(code)}). Nothing is half-written: free some space and run the same again, which goes on from the last finished layer`,
        { cause: error },
      )
    if (code === 'EACCES' || code === 'EROFS' || code === 'EPERM')
      throw new QuantizationError(`${path} can't be written (${String(code)}); choose another folder`, { cause: error })
    throw error
  }
}
