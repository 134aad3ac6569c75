import type { BlockHash } from './block-hash.ts'

/** One block of KV cache. Created once per pool; all fields but the id change hands with it. */
export class Block {
  readonly blockId: number
  /** Block tables that hold it. Zero means: in the free queue. */
  refCount = 0
  /** Its name in the prefix cache: full blocks only, and of equal ones only one. A free block keeps it until it is handed out. */
  hash: BlockHash | null = null
  /** Links of `FreeBlockQueue`, and of nobody else. */
  prevFree: Block | null = null
  nextFree: Block | null = null

  constructor(blockId: number) {
    this.blockId = blockId
  }
}
