import type * as xgrammar from '@mlc-ai/web-xgrammar'
import { isJsonObject } from '../util/json-object.ts'
import { assert } from '../util/assert.ts'

export type XGrammar = typeof xgrammar

/** Where the library prints. */
export type PrintLine = (line: string) => void

/**
 * The library, for a thread that does nothing else: it wants a global `location`, leaves its exports in another global, takes
 * the console's functions when it starts, and as much memory as there is.
 */
export async function loadXGrammar(print: PrintLine, maxMemoryBytes: number): Promise<XGrammar> {
  const scope: Record<string, unknown> = globalThis as never
  scope['location'] ??= { href: import.meta.url }
  redirectConsole(print)
  capMemory(maxMemoryBytes)
  const module: Record<string, unknown> = await import('@mlc-ai/web-xgrammar')
  // A bundler may have made a module of it.
  const library = [module, module['default'], scope['xgrammar']].find(
    (value) => isJsonObject(value) && typeof value['GrammarCompiler'] === 'function',
  )
  assert(library !== undefined, '@mlc-ai/web-xgrammar has no exports')
  return library as unknown as XGrammar
}

function redirectConsole(print: PrintLine): void {
  const printAll = (...values: unknown[]): void => print(values.map(String).join(' '))
  for (const name of ['log', 'info', 'warn', 'error', 'debug', 'trace'] as const) console[name] = printAll
}

interface WasmMemory {
  readonly buffer: ArrayBuffer
  grow(pages: number): number
}

function capMemory(maxBytes: number): void {
  const { WebAssembly } = globalThis as unknown as { WebAssembly: { Memory: { prototype: WasmMemory } } }
  const { prototype } = WebAssembly.Memory
  const { grow } = prototype
  prototype.grow = function (pages: number): number {
    if (this.buffer.byteLength + pages * 65_536 > maxBytes) throw new RangeError('a grammar takes too much memory')
    return grow.call(this, pages)
  }
}
