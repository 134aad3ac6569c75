import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { loadFusedOps, opsFileName } from './fused-ops.ts'
import type { LinkManifest } from './linked-folder.ts'
import type { TfjsBinding } from './tfjs-binding.ts'

const root = mkdtempSync(path.join(os.tmpdir(), 'octavo-ops-'))
const file = path.join(root, 'tfjs_binding.node')
writeFileSync(path.join(root, opsFileName), '')
afterAll(() => rmSync(root, { recursive: true, force: true }))

const manifest: LinkManifest = {
  format: 1,
  version: '2.21.0',
  flavour: 'cpu',
  library: '/lib',
  cuda: null,
  tfjsNode: '4.22.0',
  compiler: 'g++',
}

/** As far as loading reaches. */
function bindingThat(loadOps: TfjsBinding['loadOps'], isUsingGpu = false): TfjsBinding {
  const members = { TF_Version: '2.21.0', isUsingGpuDevice: () => isUsingGpu, ...(loadOps && { loadOps }) }
  return members as unknown as TfjsBinding // a whole one takes a libtensorflow
}

describe('loadFusedOps', () => {
  const ops = bindingThat(() => 'CPU OctavoA OctavoB')

  it('gives the ops beside the binding', () => {
    expect(loadFusedOps(ops, { file, manifest })).toEqual({ names: new Set(['OctavoA', 'OctavoB']), missing: null })
  })

  it.each([
    ['where there is no library', ops, path.join(root, 'elsewhere', 'b.node'), manifest, 'link built none'],
    ['with a binding that cannot load one', bindingThat(undefined), file, manifest, 'link built none'],
    ['for another TensorFlow', ops, file, { ...manifest, version: '2.20.0' }, 'they are not for TensorFlow 2.21.0'],
    ['for an unknown TensorFlow', ops, file, null, 'they are not for TensorFlow 2.21.0'],
    ['for another device', bindingThat(() => 'CPU OctavoA', true), file, manifest, 'they are for the CPU'],
  ])('goes without %s', (_, binding, at, described, missing) => {
    expect(loadFusedOps(binding, { file: at, manifest: described })).toEqual({ names: new Set(), missing })
  })

  it('goes without what does not load, and says why', () => {
    const failing = bindingThat(() => {
      throw new Error('undefined symbol: x\nmore')
    })
    expect(loadFusedOps(failing, { file, manifest })).toEqual({ names: new Set(), missing: 'undefined symbol: x' })
  })
})
