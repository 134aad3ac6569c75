/**
 * Do others read our GGUF files? `npm run bench -- gguf`: writes the embedded model in every type and a golden model of each
 * family, lets Octavo and node-llama-cpp continue the same tokens greedily, and prints where they first differ and how far
 * apart the two tokens were for each of the two. Fails where that is more than rounding explains.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { nativeBackend } from '@octavo/backend-native'
import { LLM } from '@octavo/core'
import { embeddedModelPath } from '@octavo/core/loading'
import { ggufFileTypeNames, writeGguf, type GgufFileType } from '@octavo/quant'
import { installPeers } from './src/install-peers.ts'
import { toMarkdown } from './src/markdown.ts'

const numTokens = 48
/** In nats: activations are rounded to 8 bits by both, each in its own way. */
const largestMargin = 0.25

interface Step {
  readonly token: number
  readonly logprobs: ReadonlyMap<number, number>
}

interface Request {
  readonly modelPath: string
  readonly prompts: readonly (readonly number[])[]
  readonly numTokens: number
}

interface Case {
  readonly model: string
  readonly name: string
  readonly type: GgufFileType
  readonly prompts: readonly (readonly number[])[]
}

const peers = fileURLToPath(new URL('peers', import.meta.url))
installPeers(peers)
const { greedyTokens } = (await import('./peers/llama-cpp-tokens.mjs' as string)) as {
  greedyTokens(request: Request): Promise<Step[][]>
}

const texts = [
  '<|im_start|>user\nTranslate to German: the cat sees the dog.<|im_end|>\n<|im_start|>assistant\n',
  '<|im_start|>user\nWho has the red ball?<|im_end|>\n<|im_start|>assistant\n',
  'The sun is',
  'Once there was a small',
]

async function octavoTokens({ modelPath, prompts, numTokens: maxTokens }: Request): Promise<Step[][]> {
  await using llm = await LLM.load(modelPath, { modules: [nativeBackend], enablePrefixCaching: false })
  const params = { maxTokens, temperature: 0, ignoreEos: true, logprobs: 20 }
  const outputs = await llm.generate(prompts, params)
  return outputs.map(({ outputs: [output] }) =>
    output!.tokenIds.map((token, i) => ({
      token,
      logprobs: new Map(output!.logprobs![i]!.top.map(({ tokenId, logprob }) => [tokenId, logprob])),
    })),
  )
}

async function encode(model: string): Promise<number[][]> {
  await using llm = await LLM.load(model, { modules: [nativeBackend] })
  const outputs = await llm.generate(texts, { maxTokens: 1 })
  return outputs.map(({ promptTokenIds }) => [...promptTokenIds])
}

/** How much less the other's token is worth to one of them. */
function margin(step: Step, other: number): number {
  return step.logprobs.get(step.token)! - (step.logprobs.get(other) ?? -Infinity)
}

async function compare(
  { model, name, type, prompts }: Case,
  folder: string,
): Promise<{ row: string[]; worst: number }> {
  const modelPath = path.join(folder, `${name}-${type}.gguf`)
  const { notes } = await writeGguf(model, modelPath, { type })
  const ours = await octavoTokens({ modelPath, prompts, numTokens })
  const theirs = await greedyTokens({ modelPath, prompts, numTokens })
  rmSync(modelPath)
  let worst = 0
  let equal = 0
  const differences: string[] = []
  for (const [i, steps] of ours.entries()) {
    const at = steps.findIndex(({ token }, step) => theirs[i]![step]?.token !== token)
    equal += at < 0 ? steps.length : at
    if (at < 0) continue
    const [mine, other] = [steps[at]!, theirs[i]![at]!]
    const margins = [margin(mine, other.token), margin(other, mine.token)]
    // One of the two must have been in doubt, unless it is known that they compute something else.
    if (notes.length === 0) worst = Math.max(worst, Math.min(...margins))
    differences.push(`${at} (${margins.map((value) => value.toFixed(3)).join(' / ')})`)
  }
  return {
    row: [name, type, `${equal} of ${prompts.length * numTokens}`, differences.join(', ') || 'none', notes.join('; ')],
    worst,
  }
}

const tiny = embeddedModelPath('octavo-tiny')!
const tinyPrompts = await encode(tiny)
const fixtures = fileURLToPath(new URL('../fixtures/models/', import.meta.url))
const fixturePrompts = [
  [5, 17, 100, 41, 7, 200, 3, 9],
  [400, 31, 32, 33, 12],
]
const generates = (name: string): boolean =>
  JSON.parse(readFileSync(path.join(fixtures, name, 'golden.json'), 'utf8')).task === 'generate'
const cases: Case[] = [
  ...ggufFileTypeNames.map((type) => ({ model: tiny, name: 'octavo-tiny', type, prompts: tinyPrompts })),
  ...readdirSync(fixtures)
    .filter(generates)
    .map((name) => ({
      model: fixtures + name,
      name,
      type: 'F32' as const,
      prompts: fixturePrompts,
    })),
]
const folder = mkdtempSync(path.join(tmpdir(), 'octavo-gguf-'))
const rows: string[][] = []
let worst = 0
try {
  for (const one of cases) {
    const result = await compare(one, folder)
    rows.push(result.row)
    worst = Math.max(worst, result.worst)
    console.error(result.row.join(' | '))
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
console.log(
  toMarkdown([
    ['model', 'type', 'equal tokens', 'first differences (margin of Octavo / llama.cpp, nats)', 'known'],
    ['---', '---', '---', '---', '---'],
    ...rows,
  ]),
)
if (worst > largestMargin) {
  console.error(`A first difference has a margin of ${worst.toFixed(3)} nats for both: more than rounding explains.`)
  process.exitCode = 1
}
