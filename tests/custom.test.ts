import { cp, mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Installation, isRegistryThere, packTo } from './installation.ts'

const require = createRequire(import.meta.url)
const examples = path.dirname(require.resolve('@example/custom/package.json'))
const isPossible = process.platform !== 'win32' && (await isRegistryThere())

/** Examples beside the installed packages, where nothing of the workspace can be found. */
describe.skipIf(!isPossible)('examples/custom with the packages as npm installs them', () => {
  let root: string
  let installation: Installation

  beforeAll(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'octavo-custom-'))
    const published = await packTo(path.join(root, 'packed'), ['core'])
    const typescript = ['typescript', '@types/node'].map((name) => `${name}@${versionOf(name)}`)
    installation = await Installation.create(path.join(root, 'user'), [...published, ...typescript])
    const isCopied = (file: string): boolean => !file.includes('node_modules') && !file.endsWith('.json')
    await cp(examples, installation.folder, { recursive: true, filter: isCopied })
  }, 300_000)
  afterAll(() => rm(root, { recursive: true, force: true }))

  /** What a program writes, line by line. */
  async function linesOf(name: string): Promise<string[]> {
    await using program = installation.run([path.join(installation.folder, `${name}.ts`)])
    expect(await program.exitCode, program.stderr).toBe(0)
    return program.stdout.trimEnd().split('\n')
  }

  it('pass the compiler, and so do the declarations in the tarball', async () => {
    const tsc = path.join(installation.folder, 'node_modules', 'typescript', 'bin', 'tsc')
    const names = ['executor', 'hidden-states', 'linear-method', 'logits-processor', 'model', 'sampler']
    const files = [...names, 'scheduling-policy', 'tokenizer', 'transport', 'parts/engine-process']
    const parts = [
      'counting-executor',
      'steered-model',
      'int8-linear',
      'ban-tokens',
      'handmade-model',
      'typical-sampler',
    ]
    await using program = installation.run([
      ...[tsc, '--noEmit', '--strict', '--target', 'es2024', '--module', 'nodenext', '--types', 'node'],
      ...['--lib', 'es2024,esnext.disposable,esnext.collection', '--allowImportingTsExtensions'],
      ...[...files, ...parts.map((name) => `parts/${name}`), 'parts/shortest-first'].map((name) => `${name}.ts`),
    ])
    await program.exitCode
    // Declarations of TensorFlow.js name types of packages that it does not install.
    const errors = program.stdout
      .split('\n')
      .filter((line) => line !== '' && !/^node_modules\/@(tensorflow|webgpu)/.test(line))
    expect(errors).toEqual([])
  })

  it("model: an architecture of one's own gives the tokens of the stock one", async () => {
    expect(await linesOf('model')).toEqual([
      'handmade: 老老师正在图书馆里读一本新书。',
      'stock:    老老师正在图书馆里读一本新书。',
    ])
  })

  it('executor: it runs every plan', async () => {
    const lines = await linesOf('executor')
    expect(lines.slice(0, 3)).toEqual([
      '47 + 35 = 82.',
      'The capital of Norway is Oslo.',
      'The capital of Italy is Rome.',
    ])
    expect(lines[3]).toMatch(/^[1-9]\d* plans, [1-9]\d* tokens, up to [123] sequences at once$/)
  })

  it('linear-method: weights in int8 answer the same', async () => {
    const lines = await linesOf('linear-method')
    const [stored, rounded] = lines.map((line) => /: ([\d.]+) MB, (.*)$/.exec(line) ?? [])
    expect(rounded?.[2]).toBe('老老师正在图书馆里读一本新书。')
    expect(stored?.[2]).toBe(rounded?.[2])
    expect(Number(rounded?.[1])).toBeLessThan(0.7 * Number(stored?.[1]))
  })

  it('sampler: it draws the tokens that a request for each token draws', async () => {
    const lines = await linesOf('sampler')
    expect(lines).toHaveLength(9)
    expect(lines.slice(0, 4)).toEqual(lines.slice(4, 8))
    expect(lines).toContain('47 + 35 = 82.')
    expect(lines[8]).toMatch(/^[\d.]+ times as fast in the engine$/)
  })

  it('logits-processor: what it bans never comes', async () => {
    const [story] = await linesOf('logits-processor')
    expect(story).toMatch(/^Once /)
    expect(story).not.toContain('cat')
  })

  it('scheduling-policy: short prompts overtake long ones', async () => {
    const lengths = (await linesOf('scheduling-policy')).slice(1).map((prompt) => prompt.length)
    expect(lengths).toHaveLength(3)
    expect(lengths).toEqual(lengths.toSorted((a, b) => a - b))
  })

  it('tokenizer: the engine takes and gives its tokens', async () => {
    expect(await linesOf('tokenizer')).toEqual(['un|b|el|i|eva|b|le', 'The capital of Italy is Rome.'])
  })

  it('hidden-states: an op of TensorFlow.js keeps a word from coming', async () => {
    const [stock, steered] = await linesOf('hidden-states')
    expect(stock).toBe('stock:   The capital of Norway is Oslo.')
    expect(steered).toMatch(/^steered: The capital of Norway is (?!Oslo)/)
  })

  it('transport: errors from another process have their classes and fields', async () => {
    const [answer, tooLong, metrics, dead] = await linesOf('transport')
    expect(answer).toBe('47 + 35 = 82.')
    expect(tooLong).toBe('context_length_exceeded: at most 1024 tokens')
    expect(metrics).toMatch(/^[1-9]\d* tokens so far$/)
    expect(dead).toMatch(/^engine_dead: .*process has ended/)
  })
})

/** Of what this workspace has. */
function versionOf(name: string): string {
  return (require(`${name}/package.json`) as { version: string }).version
}

if (!isPossible) it.skip("examples/custom as installed: npm's registry does not answer, or this is Windows", () => {})
