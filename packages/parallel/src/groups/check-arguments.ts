import { CollectiveMismatchError } from '../process-group-errors.ts'
import type { FailedCall } from '../process-group-errors.ts'
import type { GroupBuffer } from '../process-group.ts'

/** `whole` holds `numParts` times `part`. */
export function checkParts(
  call: FailedCall,
  { whole, part }: { whole: GroupBuffer; part: GroupBuffer },
  numParts: number,
): void {
  checkSameType(call, whole, part)
  if (whole.length !== part.length * numParts)
    throw new CollectiveMismatchError(
      call,
      `one buffer has ${whole.length} elements and the other ${part.length}; over ${numParts} ranks they must be ${part.length * numParts} and ${part.length}.`,
    )
}

export function checkSplits(
  call: FailedCall,
  buffer: GroupBuffer,
  { splits, size }: { splits: readonly number[]; size: number },
): void {
  const sum = splits.reduce((sum, split) => sum + split, 0)
  if (
    splits.length !== size ||
    sum !== buffer.length ||
    splits.some((split) => !Number.isSafeInteger(split) || split < 0)
  )
    throw new CollectiveMismatchError(
      call,
      `the splits [${splits.join(', ')}] do not divide a buffer of ${buffer.length} elements among ${size} ranks.`,
    )
}

export function checkSameType(call: FailedCall, a: GroupBuffer, b: GroupBuffer): void {
  if (a.constructor !== b.constructor)
    throw new CollectiveMismatchError(
      call,
      `the buffers are ${a.constructor.name} and ${b.constructor.name}; they must have one type.`,
    )
}

/** A rank of the group, and no message to itself. */
export function checkPeer(call: FailedCall, peer: number, { rank, size }: { rank: number; size: number }): void {
  if (!Number.isSafeInteger(peer) || peer < 0 || peer >= size)
    throw new CollectiveMismatchError(call, `there is no rank ${peer} in this group; it has ranks 0 to ${size - 1}.`)
  if (peer === rank) throw new CollectiveMismatchError(call, 'a rank cannot send to itself.')
}

export function bytesOf(buffer: GroupBuffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}
