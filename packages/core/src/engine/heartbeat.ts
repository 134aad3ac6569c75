/**
 * Since when the engine has been busy with one thing, in memory that both threads see: one that hangs sends no messages.
 */
export class Heartbeat {
  readonly buffer: SharedArrayBuffer
  /** Nanoseconds of the process's monotonic clock; 0 = idle. */
  readonly #busySince: BigInt64Array

  constructor(buffer = new SharedArrayBuffer(8)) {
    this.buffer = buffer
    this.#busySince = new BigInt64Array(buffer)
  }

  begin(): void {
    Atomics.store(this.#busySince, 0, process.hrtime.bigint())
  }

  end(): void {
    Atomics.store(this.#busySince, 0, 0n)
  }

  get busyMs(): number {
    const since = Atomics.load(this.#busySince, 0)
    return since === 0n ? 0 : Number(process.hrtime.bigint() - since) / 1e6
  }
}
