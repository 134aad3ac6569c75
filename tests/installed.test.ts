import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Installation, isRegistryThere, packTo } from './installation.ts'

const run = promisify(execFile)
const native = path.join(import.meta.dirname, '..', 'packages', 'backend-native')
const addon = path.join(native, 'build', 'octavo_native.node')
// Windows has no native addon yet; what the packages depend on comes from npm's registry.
const isPossible = existsSync(addon) && process.platform !== 'win32' && (await isRegistryThere())

interface BackendRow {
  readonly name: string
  readonly available: boolean
  readonly chosen: boolean
  readonly reason: string
}

async function nativeRow(installation: Installation): Promise<BackendRow> {
  await using program = installation.octavo(['env', '--json'])
  expect(await program.exitCode, program.stderr).toBe(0)
  const { backends } = JSON.parse(program.stdout) as { backends: BackendRow[] }
  return backends.find(({ name }) => name === 'native')!
}

const structuredProgram = `
import { LLM } from 'octavo'
const llm = await LLM.load('octavo-tiny')
const schema = { type: 'object', properties: { color: { enum: ['red', 'green'] } }, required: ['color'], additionalProperties: false }
const [output] = await llm.generate(['The color as JSON: '], { maxTokens: 64, structuredOutput: { type: 'json', schema } })
console.log(output.outputs[0].text)
await llm.shutdown()
`

async function packPrebuilt(folder: string): Promise<string> {
  const out = path.join(folder, 'prebuilt')
  await run(process.execPath, [path.join(native, 'scripts', 'pack-prebuilt.mjs'), `--out=${out}`])
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: out })
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }]
  return path.join(folder, filename)
}

describe.skipIf(!isPossible)('the packages as npm installs them where no compiler is', () => {
  let root: string
  let installation: Installation
  let prebuilt: string

  beforeAll(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'octavo-installed-'))
    const packed = path.join(root, 'packed')
    const published = await packTo(packed, ['backend-native', 'cli', 'core', 'parallel', 'quant', 'sdk', 'server'])
    prebuilt = await packPrebuilt(packed)
    installation = await Installation.create(path.join(root, 'user'), published)
  }, 300_000)
  afterAll(() => rm(root, { recursive: true, force: true }))

  it('say what to do where no ready-made addon is', async () => {
    const { available, reason } = await nativeRow(installation)
    expect(available).toBe(false)
    expect(reason).toContain(`npm install @octavo/backend-native-${process.platform}-${process.arch}`)
  })

  it('answer on wasm until then', async () => {
    await using program = installation.octavo(['run', 'octavo-tiny', 'What is 47 + 35?', '--temperature', '0'])
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout.trim()).toBe('47 + 35 = 82.')
  })

  it('hold outputs to grammars, in the threads of their library', async () => {
    await writeFile(path.join(installation.folder, 'ask.mjs'), structuredProgram)
    await using program = installation.run(['ask.mjs'])
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(JSON.parse(program.stdout)).toEqual({ color: expect.stringMatching(/^(?:red|green)$/) })
  })

  it('answer on the C++ kernels of the ready-made addon', async () => {
    await installation.install([prebuilt])
    expect(await nativeRow(installation)).toMatchObject({ available: true, chosen: true })
    const args = ['run', 'octavo-tiny', 'What is 47 + 35?', '--temperature', '0', '--backend', 'native']
    await using program = installation.octavo(args)
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout.trim()).toBe('47 + 35 = 82.')
  }, 300_000)
})

if (!isPossible)
  it.skip("the packages as installed: no compiler built the addon, npm's registry does not answer, or this is Windows", () => {})
