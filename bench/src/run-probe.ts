/** One probe of the addon in a process of its own: PROBE THREADS → a number. */
import { loadNativeAddon } from '@octavo/backend-native'
import type { Probe } from './machine-limits.ts'

/** More than any cache holds. */
const probeBytes = 1 << 30

const [probe, threads] = process.argv.slice(2)
const loaded = loadNativeAddon()
if (!('addon' in loaded)) throw new Error(loaded.reason)
const pool = new loaded.addon.Pool(Number(threads))
const probes: Record<Probe, () => number> = {
  read: () => pool.measureReadBandwidth(probeBytes),
  multiply: () => pool.measureMultiply(),
}
if (probe !== 'read' && probe !== 'multiply') throw new Error(`There is no probe ${probe}.`)
console.log(probes[probe]())
