import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { bindingFileName, defaultLinkFolder, findLinkedBinding, manifestFileName } from './linked-folder.ts'

const root = mkdtempSync(path.join(os.tmpdir(), 'octavo-linked-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const manifest = {
  format: 1,
  version: '2.21.0',
  flavour: 'cuda',
  library: '/opt/libtensorflow_cc.so.2',
  cuda: { version: '12.5.1', cudnn: '9' },
  tfjsNode: '@tensorflow/tfjs-node 4.22.0',
  compiler: 'g++ 12',
}

function plant(folder: string, manifestText: string | null): string {
  mkdirSync(folder, { recursive: true })
  writeFileSync(path.join(folder, bindingFileName), '')
  if (manifestText !== null) writeFileSync(path.join(folder, manifestFileName), manifestText)
  return folder
}

describe('findLinkedBinding', () => {
  it("prefers OCTAVO_TENSORFLOW, a folder or a file, to the user's own", () => {
    const dataHome = path.join(root, 'home')
    const env = { XDG_DATA_HOME: dataHome }
    expect(findLinkedBinding(env)).toBeNull()
    const own = plant(defaultLinkFolder(env), JSON.stringify(manifest))
    expect(own.startsWith(path.join(dataHome, 'octavo', 'tensorflow'))).toBe(true)
    expect(findLinkedBinding(env)).toEqual({ file: path.join(own, bindingFileName), manifest })

    const other = plant(path.join(root, 'other'), JSON.stringify({ ...manifest, version: '2.20.0' }))
    expect(findLinkedBinding({ ...env, OCTAVO_TENSORFLOW: other })?.manifest?.version).toBe('2.20.0')
    const file = path.join(other, bindingFileName)
    expect(findLinkedBinding({ ...env, OCTAVO_TENSORFLOW: file })).toEqual({ file, manifest: null })
  })

  it('returns what OCTAVO_TENSORFLOW names even where it does not exist, so that the mistake shows', () => {
    const file = path.join(root, 'nowhere', bindingFileName)
    expect(findLinkedBinding({ OCTAVO_TENSORFLOW: file })).toEqual({ file, manifest: null })
  })

  it.each(['', '{', '[]', JSON.stringify({ ...manifest, format: 2 }), JSON.stringify({ ...manifest, flavour: 'x' })])(
    'goes without a manifest that is none: %s',
    (text) => {
      const folder = plant(path.join(root, `bad-${text.length}`), text)
      expect(findLinkedBinding({ OCTAVO_TENSORFLOW: folder })?.manifest).toBeNull()
    },
  )

  it("has a default place under the user's home", () => {
    expect(defaultLinkFolder({})).toBe(
      path.join(os.homedir(), '.local/share/octavo/tensorflow', `${process.platform}-${process.arch}`),
    )
  })
})
