import { QuantizationError } from '@octavo/core/quantization'

const fullCodes: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

const refusedCodes: ReadonlySet<unknown> = new Set([
  ...['EACCES', 'EROFS', 'EPERM'],
  // Of places where no folder can be: below a file, in /proc, of too long a name, links in a circle.
  ...['ENOTDIR', 'ENOENT', 'EISDIR', 'ENAMETOOLONG', 'ELOOP', 'EINVAL'],
])

/** Runs what writes to `path`; says in words what the system says in codes. */
export function onDisk<T>(path: string, write: () => T): T {
  try {
    return write()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null
    if (fullCodes.has(code))
      throw new QuantizationError(
        `${path}: the disk is full (${String(code)}). Nothing is half-written: free some space and run the same again; a quantization goes on from its last finished layer`,
        { cause: error },
      )
    if (refusedCodes.has(code))
      throw new QuantizationError(`${path} can't be written (${String(code)}); choose another folder`, { cause: error })
    throw error
  }
}
