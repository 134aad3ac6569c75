/** Memory that several threads, and WebAssembly on each, share; it may be posted to other threads. */
export interface SharedMemory {
  readonly buffer: SharedArrayBuffer
}

/** What Node offers of the WebAssembly interface and its type package leaves out. */
declare const WebAssembly: {
  Memory: new (options: { initial: number; maximum: number; shared: true }) => SharedMemory
  Module: new (bytes: Uint8Array<ArrayBuffer>) => object
  Instance: new (module: object, imports: object) => { readonly exports: Record<string, unknown> }
}

const pageBytes = 64 * 1024

/** Pages that nobody touches take no memory. */
export function createSharedMemory(numBytes: number): SharedMemory {
  const pages = Math.ceil(numBytes / pageBytes)
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
}

/** What a module exports, over a memory that it imports as `env.memory`. */
export function instantiate(module: Uint8Array<ArrayBuffer>, memory: SharedMemory): Record<string, unknown> {
  return new WebAssembly.Instance(new WebAssembly.Module(module), { env: { memory } }).exports
}
