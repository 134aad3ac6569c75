import type { FillWeight, PackedWeight, PackedWeightSpec, StoredRows } from '../tensor/packed-weight.ts'
import type { KvDType, KvLayout, KvStorage } from '../tensor/kv-storage.ts'

/** What Octavo needs of a tfjs backend besides tfjs's own kernels. */
export interface BackendPack {
  /** The tfjs backend name (`tf.setBackend`); the pack's fused kernels are registered under it. */
  readonly name: string
  /** Whether a request's results are bit-identical whatever shares its batch. */
  readonly isBatchInvariant: boolean
  /** Bytes that weights and KV cache may take together, or `null` where only the machine limits it. */
  readonly maxMemoryBytes: number | null
  /** Bytes of the weights and KV caches that this pack made and that are not yet disposed. */
  readonly usedBytes: number
  /** Of `usedBytes`, those that are not taken from the machine's memory yet: weights that it packs after they are loaded. */
  readonly pendingBytes?: number
  /** The dtypes that `createKvStorage` takes: first the one in which this pack computes, and float32 among them. */
  readonly kvCacheDtypes: readonly [KvDType, ...KvDType[]]
  /**
   * Of a backend that prepares itself by what it runs: the engine may run each size of batch once before it serves, and
   * then fills batches up to these sizes. Left out where there is nothing to prepare.
   */
  readonly warmup?: WarmupPolicy
  /**
   * Makes a weight of what `fill` writes. `stored`, where given, says that the same rows, in order, lie in files unchanged:
   * a pack may read them there itself, then or (having mapped the files) later, and calls `fill` where it can't. Who uses
   * a weight whose file has changed in between gets a CheckpointError.
   */
  packWeight(spec: PackedWeightSpec, fill: FillWeight, stored?: readonly StoredRows[] | null): PackedWeight
  createKvStorage(layout: KvLayout): KvStorage
}

export interface WarmupPolicy {
  /** Whether the engine option `warmup: 'auto'` does it. */
  readonly isDefault: boolean
  /** Ascending, up to `maxModelLen`: one for each kind of shape that decodes of such contexts have. */
  contextLengths(maxModelLen: number): readonly number[]
}

/** A backend that can be chosen: core has its own, other packages pass theirs in as values. */
export interface BackendProvider {
  /** The name a user chooses it by, and its pack's name. */
  readonly name: string
  /** `auto` takes the available provider with the highest one; core's tensorflow has 30 with a GPU and else 15, wasm 10, cpu 0. */
  readonly priority: number
  /** Whether it can run here, and why or why not, for people. Must not throw and must not activate anything. */
  probe(options?: BackendOptions): Promise<BackendProbe>
  /** Registers the tfjs backend and the kernels, without activating it; takes no more than its share of the processors. */
  create(options?: BackendOptions, share?: MachineShare): Promise<BackendPack>
}

/** Options of one backend, such as its number of threads: plain data that the backend checks. */
export type BackendOptions = Readonly<Record<string, unknown>>

/** One rank's part of a machine on which several run, itself always counted. */
export interface MachineShare {
  /** Ranks on the machine: each takes an equal part of its free memory, and of the CPU time that a control group allows. */
  readonly numLocalWorkers: number
  /** Those of them that may run on the same processors, of which each takes an equal part. */
  readonly numCpuWorkers: number
}

/** The only one. */
export const wholeMachine: MachineShare = { numLocalWorkers: 1, numCpuWorkers: 1 }

/** Whether a backend could run here. */
export interface BackendProbe {
  readonly available: boolean
  readonly detail: string
  /** In place of the provider's priority, where that depends on what the machine has. */
  readonly priority?: number
}
