import { loadNativeAddon } from './native-addon.ts'
import type { Isa, NativeAddon } from './native-addon.ts'

const loaded = loadNativeAddon()

/** The addon, or null where no compiler built it: what needs it is skipped then. */
export const testedAddon: NativeAddon | null = 'addon' in loaded ? loaded.addon : null

/** Why tests are skipped. */
export const skipReason = 'reason' in loaded ? loaded.reason : null

const wanted = process.env['OCTAVO_TESTED_ISAS']?.split(',')

/** Every instruction set that this CPU has, or those that are wanted of them, the plainest first. */
export const testedIsas: readonly Isa[] = isasUpTo(testedAddon?.bestIsa() ?? null).filter(
  (isa) => wanted?.includes(isa) ?? true,
)

function isasUpTo(best: Isa | null): Isa[] {
  if (best === null) return []
  const orders: readonly (readonly Isa[])[] = [
    ['scalar', 'avx2', 'avx512', 'amx'],
    ['scalar', 'neon', 'dotprod'],
  ]
  const order = orders.find((isas) => isas.includes(best)) ?? []
  return order.slice(0, order.indexOf(best) + 1)
}
