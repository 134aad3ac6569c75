import { realpathSync, rmSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkVersion, inFolder, inWheel } from './libtensorflow.ts'
import { Planted } from './planted.case.ts'

const describeLinux = describe.skipIf(process.platform !== 'linux')

describe('checkVersion', () => {
  it.each(['2.9.1', '2.21.0', '2.22.0-dev20260101', '2.30.1rc0'])('takes %s', (version) => {
    expect(() => checkVersion(version)).not.toThrow()
  })

  it.each(['1.15.5', '2.8.4', '3.0.0', 'nonsense', ''])('refuses "%s"', (version) => {
    expect(() => checkVersion(version)).toThrow(/2\.9 or newer of the line 2\.x\. Install 2\.21/)
  })
})

describeLinux('inWheel (names of Linux)', () => {
  it('finds libraries and headers, and reads for what it was built', () => {
    using planted = new Planted()
    const buildInfo = `build_info = collections.OrderedDict([('cpu_compiler', '/usr/lib/clang'), ('cuda_compute_capabilities',
      ['sm_60', 'compute_90']), ('cuda_version', '12.5.1'), ('cudnn_version', '9'), ('is_cuda_build', True), ('is_rocm_build', False)])`
    const root = realpathSync(planted.wheel('cuda/tensorflow', buildInfo))
    expect(inWheel(root, '2.21.0')).toEqual({
      libraries: [path.join(root, 'libtensorflow_cc.so.2'), path.join(root, 'libtensorflow_framework.so.2')],
      include: path.join(root, 'include'),
      version: '2.21.0',
      flavour: 'cuda',
      cuda: { version: '12.5.1', cudnn: '9' },
    })
    const cpu = planted.wheel('cpu/tensorflow', "OrderedDict([('is_cuda_build', False), ('is_rocm_build', False)])")
    expect(inWheel(cpu, null)).toMatchObject({ flavour: 'cpu', cuda: null })
    expect(inWheel(planted.wheel('other/tensorflow'), null)).toMatchObject({ flavour: 'unknown', cuda: null })
  })

  it('names what is missing', () => {
    using planted = new Planted()
    const folder = planted.wheel('tensorflow')
    rmSync(path.join(folder, 'include/tensorflow/c/eager/c_api.h'))
    expect(() => inWheel(folder, '2.21.0')).toThrow(
      expect.objectContaining({ step: 'headers', message: expect.stringContaining('no tensorflow/c/eager/c_api.h') }),
    )
    rmSync(path.join(folder, 'libtensorflow_cc.so.2'))
    expect(() => inWheel(folder, '2.21.0')).toThrow(
      expect.objectContaining({ step: 'tensorflow', message: expect.stringContaining('has no libtensorflow_cc.so.2') }),
    )
    expect(() => inWheel(folder, '2.4.0')).toThrow(expect.objectContaining({ step: 'version' }))
  })
})

describeLinux('inFolder (names of Linux)', () => {
  it("takes an archive's folder, a wheel's, and nothing else", () => {
    using planted = new Planted()
    const root = realpathSync(planted.root)
    planted.file('unpacked/lib/libtensorflow.so.2')
    planted.headers('unpacked/include')
    const unpacked = path.join(root, 'unpacked')
    const library = path.join(unpacked, 'lib/libtensorflow.so.2')
    expect(inFolder(unpacked)).toMatchObject({ libraries: [library], version: null, flavour: 'unknown' })
    expect(inFolder(planted.wheel('tensorflow')).libraries).toHaveLength(2)
    expect(() => inFolder(root)).toThrow(/no libtensorflow.so.2 in .*lib/)
    expect(() => inFolder(path.join(root, 'nowhere'))).toThrow('which is no folder')
    expect(() => inFolder(library)).toThrow('which is no folder')
  })

  it("knows the version by the library's own name", () => {
    using planted = new Planted()
    planted.file('lib/libtensorflow.so')
    planted.headers('include')
    expect(inFolder(planted.root).version).toBeNull()
    using old = new Planted()
    old.link('lib/libtensorflow.so.2', old.file('lib/libtensorflow.so.2.7.0'))
    old.headers('include')
    expect(() => inFolder(old.root)).toThrow('TensorFlow 2.7.0 cannot be linked')
  })
})
