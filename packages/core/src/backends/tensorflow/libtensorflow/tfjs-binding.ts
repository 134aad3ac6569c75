/** One attribute of an op; `type` is one of the binding's `TF_ATTR_*`. A list of integers goes as an array. */
export interface TfeOpAttr {
  readonly name: string
  readonly type: number
  readonly value: boolean | number | string | readonly number[]
}

/** An output of `executeOp`: a handle that stays alive until `deleteTensor(id)`. */
export interface TfeTensor {
  readonly id: number
  readonly shape: number[]
  /** TF_DataType, for instance 1 float32, 3 int32, 14 bfloat16, 19 half, 20 resource. */
  readonly dtype: number
}

/** A device that TensorFlow sees. */
export interface TfDevice {
  /** `CPU`, `GPU` … */
  readonly type: string
  /** TensorFlow's name of it, `/job:localhost/replica:0/task:0/device:GPU:0`. */
  readonly name: string
  /** What TensorFlow may take of it; a CPU's is nominal. */
  readonly memoryBytes: number
}

/**
 * The C++ addon of tfjs-node as JavaScript sees it (its `binding/tfjs_binding.cc`): TensorFlow's eager C API.
 * Everything runs on the calling thread, and each thread that loads it has its own context, ids and variables.
 */
export interface TfjsBinding {
  /** Runs any op that libtensorflow knows. Throws with TensorFlow's message; inputs stay alive. */
  executeOp(name: string, attrs: readonly TfeOpAttr[], inputIds: readonly number[], numOutputs: number): TfeTensor[]
  /**
   * Float32Array → float32; Int32Array → int32, or int64 with two words per element; Uint8Array → bool or uint8.
   * Keeps `values` alive and may share its memory.
   */
  createTensor(shape: readonly number[], dtype: number, values: Float32Array | Int32Array | Uint8Array): number
  deleteTensor(id: number): void
  /** Copies to the host and waits for the device. Throws for half, bfloat16, int8 and uint8: cast those first. */
  tensorDataSync(id: number): Float32Array | Int32Array | BigInt64Array | Uint8Array
  /** How many handles are alive: what leaks shows here. */
  getNumOfTensors(): number
  isUsingGpuDevice(): boolean
  /** Only in a binding that `octavo tensorflow link` built. */
  listDevices?(): TfDevice[]
  /**
   * Loads a library of ops, which then run as any other. Returns the device that they are for (`CPU`) and their names,
   * with spaces between. Throws with the reason. Only in a binding that `octavo tensorflow link` built.
   */
  loadOps?(file: string): string
  /** libtensorflow's version, such as `2.21.0`. */
  readonly TF_Version: string
  readonly TF_FLOAT: number
  readonly TF_INT32: number
  readonly TF_INT64: number
  readonly TF_BOOL: number
  readonly TF_COMPLEX64: number
  readonly TF_STRING: number
  readonly TF_RESOURCE: number
  readonly TF_UINT8: number
  readonly TF_ATTR_STRING: number
  readonly TF_ATTR_INT: number
  readonly TF_ATTR_FLOAT: number
  readonly TF_ATTR_BOOL: number
  readonly TF_ATTR_TYPE: number
  readonly TF_ATTR_SHAPE: number
}

const functions = ['executeOp', 'createTensor', 'deleteTensor', 'tensorDataSync', 'getNumOfTensors', 'isUsingGpuDevice']

/** Whether a loaded addon is tfjs-node's binding. */
export function isTfjsBinding(value: unknown): value is TfjsBinding {
  if (typeof value !== 'object' || value === null || typeof Reflect.get(value, 'TF_Version') !== 'string') return false
  return functions.every((name) => typeof Reflect.get(value, name) === 'function')
}
