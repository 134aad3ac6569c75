import { lstatSync } from 'node:fs'
import { QuantizationError } from '@octavo/core/quantization'
import { onDisk } from './disk-errors.ts'

/** Throws QuantizationError where something is at `target` already, a link to nothing too. */
export function refuseExisting(target: string): void {
  if (onDisk(target, () => lstatSync(target, { throwIfNoEntry: false })) === undefined) return
  throw new QuantizationError(`${target} exists already; name one that does not, or remove it`)
}
