/**
 * What quantization costs octavo-tiny: `npm run bench -- quantization`. Each variant is made anew, and measured on 2,160 items and
 * by its divergence at every token that the original answers with. The table is printed, and goes with plots to bench/results.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { nativeBackend, nativeProvider } from '@octavo/backend-native'
import { evaluate, evaluationHtml, formatEvaluation, pipeline } from '@octavo/quant'
import { quantizationVariants } from './src/quantization-variants.ts'
import { boundsOf } from './src/quantization-bounds.ts'

const model = 'octavo-tiny'
const fixtures = fileURLToPath(new URL('../fixtures/octavo-tiny-eval/', import.meta.url))
const results = fileURLToPath(new URL('results/', import.meta.url))
const sets = ['translation', 'summarization', 'qa', 'dialogue', 'tools', 'extraction']
const folder = mkdtempSync(join(tmpdir(), 'octavo-bench-'))

try {
  const variants = Object.entries(quantizationVariants)
  for (const [name, passes] of variants) {
    const start = performance.now()
    await pipeline(model, {
      backend: 'auto',
      providers: [nativeProvider],
      calibration: { data: `${fixtures}calibration.jsonl`, numSamples: 256 },
    })
      .apply(...passes())
      .save(join(folder, name))
    process.stderr.write(`${name}: made in ${((performance.now() - start) / 1000).toFixed(1)} s\n`)
  }
  const evaluation = await evaluate({
    models: variants.map(([name]) => join(folder, name)),
    against: model,
    data: sets.flatMap((set) => [`${fixtures}${set}.jsonl`, `${fixtures}more/${set}.jsonl`]),
    speed: false, // of 3.4 million parameters it says nothing
    modules: [nativeBackend],
    backend: 'auto',
    onProgress: (activity, done, total) => {
      if (done === total) process.stderr.write(`${activity}: done\n`)
    },
  })
  const named = {
    ...evaluation,
    models: evaluation.models.map((m, i) => ({ ...m, model: variants[i]?.[0] ?? m.model })),
  }
  mkdirSync(results, { recursive: true })
  writeFileSync(join(results, 'quantization.json'), `${JSON.stringify(named, null, 2)}\n`)
  writeFileSync(join(results, 'quantization.html'), evaluationHtml(named))
  const bounds = boundsOf(named)
  process.stdout.write(`${formatEvaluation(named)}\n\n${bounds.map(({ text }) => text).join('\n')}\n`)
  if (bounds.some(({ isHeld }) => !isHeld)) process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exit()
