/** More than any plan or output takes: whoever claims more is not one of ours. */
export const maxFrameBytes = 256 * 1024 ** 2

const headerBytes = 4

/** A frame as it goes over a socket: its length in 4 bytes, then itself. */
export function frameOf(payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + payload.byteLength)
  frame.writeUInt32BE(payload.byteLength)
  frame.set(payload, headerBytes)
  return frame
}

/** Puts frames together from what a socket gives, in whatever pieces. */
export class FrameReader {
  readonly #header = Buffer.alloc(headerBytes)
  #numHeaderBytes = 0
  #payload: Uint8Array<ArrayBuffer> | null = null
  #numPayloadBytes = 0

  /** @throws RangeError where a frame is longer than `maxFrameBytes` */
  read(chunk: Uint8Array): Uint8Array<ArrayBuffer>[] {
    const frames: Uint8Array<ArrayBuffer>[] = []
    let position = 0
    while (position < chunk.byteLength) {
      if (this.#payload === null) {
        position += this.#readHeader(chunk, position)
      } else {
        const part = chunk.subarray(position, position + this.#payload.byteLength - this.#numPayloadBytes)
        this.#payload.set(part, this.#numPayloadBytes)
        this.#numPayloadBytes += part.byteLength
        position += part.byteLength
      }
      const done = this.#takePayload()
      if (done !== null) frames.push(done)
    }
    return frames
  }

  #readHeader(chunk: Uint8Array, position: number): number {
    const part = chunk.subarray(position, position + headerBytes - this.#numHeaderBytes)
    this.#header.set(part, this.#numHeaderBytes)
    this.#numHeaderBytes += part.byteLength
    if (this.#numHeaderBytes === headerBytes) {
      const length = this.#header.readUInt32BE()
      if (length > maxFrameBytes) throw new RangeError(`a frame of ${length} bytes; the limit is ${maxFrameBytes}`)
      this.#payload = new Uint8Array(length)
      this.#numPayloadBytes = 0
    }
    return part.byteLength
  }

  #takePayload(): Uint8Array<ArrayBuffer> | null {
    const payload = this.#payload
    if (payload === null || this.#numPayloadBytes < payload.byteLength) return null
    this.#payload = null
    this.#numHeaderBytes = 0
    return payload
  }
}
