import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { findLinkedBinding } from '../libtensorflow/linked-folder.ts'
import { describe, expect, it } from 'vitest'
import { linkTensorflow, type LinkResult } from './link-tensorflow.ts'
import { Planted } from './planted.case.ts'

const library = process.env['OCTAVO_TENSORFLOW']?.trim() ? findLinkedBinding()?.manifest?.library : undefined
const canCompile = process.platform === 'linux' && spawnSync('g++', ['--version']).status === 0

/**
 * The real TensorFlow in a wheel that says it was built for CUDA, beside a libcudart of which only the name is right; it
 * leaves a file where it is loaded.
 */
class CudaWheel extends Planted {
  readonly loaded = path.join(this.root, 'loaded')
  readonly python: string

  constructor(realLibrary: string, cudartMajor: number) {
    super()
    const real = path.dirname(realLibrary)
    this.file('tensorflow/python/platform/build_info.py', "[('cuda_version', '12.5.1'), ('is_cuda_build', True)]")
    for (const name of ['include', 'libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'])
      this.link(`tensorflow/${name}`, path.join(real, name))
    const code = `#include <stdio.h>
      __attribute__((constructor)) static void Load() { fclose(fopen(${JSON.stringify(this.loaded)}, "w")); }`
    const cudart = path.join(this.root, `nvidia/cuda_runtime/lib/libcudart.so.${cudartMajor}`)
    mkdirSync(path.dirname(cudart), { recursive: true })
    const flags = ['-shared', '-fPIC', `-Wl,-soname,${path.basename(cudart)}`]
    execFileSync('g++', [...flags, this.file('cudart.cc', code), '-o', cudart])
    const answer = {
      folder: path.join(this.root, 'tensorflow'),
      distribution: 'tensorflow',
      version: '2.21.0',
      nvidiaFolders: [path.join(this.root, 'nvidia')],
    }
    this.python = this.program('python', `console.log(${JSON.stringify(JSON.stringify(answer))})`)
  }

  linkInto(folder: string): Promise<LinkResult> {
    return linkTensorflow({ python: this.python, lib: null, folder, onProgress: () => {} })
  }
}

describe.skipIf(library === undefined || !canCompile)(
  'linkTensorflow (skipped without OCTAVO_TENSORFLOW and g++ on Linux)',
  () => {
    it("builds, checks and replaces, with CUDA's libraries loaded along", { timeout: 300_000 }, async () => {
      using wheel = new CudaWheel(library ?? '', 12)
      const earlier = wheel.file('into/tfjs_binding.node', 'earlier')
      const folder = path.dirname(earlier)
      const { manifest, verified, notes } = await wheel.linkInto(folder)
      expect(manifest).toMatchObject({ flavour: 'cuda', cuda: { version: '12.5.1', cudnn: null }, library })
      expect(verified.devices.map(({ type }) => type)).toContain('CPU')
      expect(verified.missingOps).toBeNull()
      expect(verified.isUsingGpu || notes[0]?.startsWith('it runs on the CPU: ')).toBe(true)
      expect(readdirSync(folder).sort()).toEqual([
        'octavo-tensorflow.json',
        'octavo_tensorflow_ops.so',
        'tfjs_binding.node',
      ])
      expect(readFileSync(earlier).subarray(1, 4).toString()).toBe('ELF')
      expect(findLinkedBinding({ OCTAVO_TENSORFLOW: folder })).toEqual({ file: earlier, manifest })
      expect(existsSync(wheel.loaded)).toBe(true)
    })

    it('refuses libraries of another CUDA before it compiles anything', async () => {
      using wheel = new CudaWheel(library ?? '', 11)
      const folder = path.join(wheel.root, 'into')
      await expect(wheel.linkInto(folder)).rejects.toMatchObject({ step: 'cuda' })
      expect(existsSync(folder)).toBe(false)
    })
  },
)
