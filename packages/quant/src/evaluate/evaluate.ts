import { statSync } from 'node:fs'
import { createBackend, InvalidConfigError, LLM, loadEngineModules } from '@octavo/core'
import type { BackendPack } from '@octavo/core/backend'
import { locateModel } from '@octavo/core/loading'
import { openModel, type OpenedModel } from '@octavo/core/model'
import { createTokenizer } from '@octavo/core/tokenizer'
import { type Answer, answerItems } from './answer-items.ts'
import type { AnswerScore } from './answer-metrics.ts'
import { checkpointFiles } from './checkpoint-files.ts'
import { type Estimate, expEstimate } from './estimate.ts'
import {
  answersCorpus,
  type ComparedModel,
  type Evaluation,
  type ModelFigures,
  type TaskFigures,
} from './evaluation.ts'
import { type EvaluateOptions, resolveEvaluateOptions, type ResolvedEvaluateOptions } from './evaluate-options.ts'
import { measureLayerErrors } from './layer-errors.ts'
import { combineRounds, type SpeedFigures } from './measure-speed.ts'
import { type ComparedCorpus, OriginalStates } from './original-states.ts'
import { runSpeedProcess } from './run-speed-process.ts'
import { compareTask, scoreSet, taskFigures, withAll } from './task-figures.ts'
import { readTaskSets, type TaskSet } from './task-set.ts'
import { answerSequence, type Corpus, numScoredTokens, readTextCorpus } from './token-sequences.ts'

/** A model in the evaluation; the first one is the original. */
interface Subject {
  /** As the caller named it. */
  readonly name: string
  readonly path: string
  readonly opened: OpenedModel
}

/**
 * What models cost in quality, and gain in size and speed, against the one they were made from: perplexity and KL divergence
 * over texts and over the original's own answers, accuracy on sets of tasks, the error of each layer, rates and memory, all
 * in one run. No model shares the memory with another.
 *
 * @throws InvalidConfigError for options, texts and items; whatever loading a model throws; InvalidLogitsError for one that is broken
 */
export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  const resolved = resolveEvaluateOptions(options)
  const sets = readTaskSets(resolved.data, resolved.maxItems)
  const { backends, ...modules } = await loadEngineModules(resolved.modules)
  const { pack } = await createBackend(resolved.backend, { providers: backends })
  const names = [...(resolved.against === null ? [] : [resolved.against]), ...resolved.models]
  const subjects: Subject[] = []
  for (const name of names) {
    const path = await locateModel({ model: name, revision: 'main' }, resolved)
    subjects.push({ name, path, opened: await openModel(path, { pack, workerModules: modules }) })
  }
  const texts = readTexts(subjects, resolved)
  const answers = await answerAll(subjects, sets, resolved)
  const corpora = [...texts, ...answersOf(answers[0] ?? [])]
  const compared = await compareAll(subjects, { corpora, pack, ...resolved })
  const errors = await layerErrorsOf(subjects, { corpora, pack, ...resolved })
  const speeds = await measureSpeeds(subjects, resolved)
  const run: Run = { corpora, sets: withAll(sets), answers, compared, errors, speeds, seed: resolved.seed }
  const [original, ...models] = subjects.map((subject, i) => figuresOf(subject, i, run))
  if (original === undefined) throw new InvalidConfigError('models', 'there is none')
  return {
    settings: settingsOf(resolved, pack),
    original,
    models: models.map((figures, i) => ({ ...figures, ...comparisonOf(i + 1, run) })),
  }
}

function settingsOf(options: ResolvedEvaluateOptions, pack: BackendPack): Evaluation['settings'] {
  const { seed, windowTokens, strideTokens, maxTextTokens, maxAnswerTokens, layerTokens } = options
  return { backend: pack.name, seed, windowTokens, strideTokens, maxTextTokens, maxAnswerTokens, layerTokens }
}

/** @throws InvalidConfigError where a model's vocabulary or tokens are not the original's */
function readTexts(subjects: readonly Subject[], options: ResolvedEvaluateOptions): Corpus[] {
  const [original, ...others] = subjects.map(({ name, opened }) => {
    const tokenizer = createTokenizer(opened.checkpoint.readTokenizer())
    const windowTokens = Math.min(options.windowTokens, opened.config.maxPositionEmbeddings)
    const strideTokens = Math.min(options.strideTokens, windowTokens)
    const windows = { windowTokens, strideTokens, maxTokens: options.maxTextTokens }
    const corpora = options.text.map((file) => readTextCorpus(file, tokenizer, windows))
    return { name, corpora, vocabSize: opened.config.vocabSize }
  })
  for (const { name, corpora, vocabSize } of others) {
    if (vocabSize !== original?.vocabSize)
      throw otherTokens(name, `it has ${vocabSize} tokens, the original ${original?.vocabSize}`)
    const differs = corpora.findIndex((corpus, i) => !hasSameTokens(corpus, original.corpora[i]))
    if (differs >= 0) throw otherTokens(name, `its tokenizer cuts ${corpora[differs]?.name} otherwise`)
  }
  return original?.corpora ?? []
}

function hasSameTokens(a: Corpus, b: Corpus | undefined): boolean {
  return a.sequences.every(({ tokenIds }, s) => hasSameIds(tokenIds, b?.sequences[s]?.tokenIds ?? []))
}

function hasSameIds(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  return a.length === b.length && Array.from(a).every((id, i) => id === b[i])
}

function otherTokens(model: string, reason: string): InvalidConfigError {
  return new InvalidConfigError(
    'against',
    `${model} has other tokens than the original (${reason}): their distributions cannot be compared. Compare models that were made from one.`,
  )
}

/** `[subject][item]`, of all sets in order. */
async function answerAll(
  subjects: readonly Subject[],
  sets: readonly TaskSet[],
  options: ResolvedEvaluateOptions,
): Promise<Answer[][]> {
  const { backend, modules, maxAnswerTokens, onProgress } = options
  const items = sets.flatMap((set) => set.items)
  const answers: Answer[][] = []
  if (items.length === 0) return subjects.map(() => [])
  for (const { name, path } of subjects) {
    await using llm = await LLM.load(path, { backend, modules })
    const given = await answerItems(llm, items, {
      maxAnswerTokens,
      onProgress: (done, total) => onProgress?.(`${name}: answers`, done, total),
    })
    const differs = given.findIndex(
      ({ promptTokenIds }, i) => !hasSameIds(promptTokenIds, (answers[0]?.[i] ?? given[i]!).promptTokenIds),
    )
    if (differs >= 0) throw otherTokens(name, `its template or tokenizer makes another prompt of item ${differs + 1}`)
    answers.push(given)
  }
  return answers
}

function answersOf(answers: readonly Answer[]): Corpus[] {
  const sequences = answers.map(({ promptTokenIds, tokenIds }) => answerSequence(promptTokenIds, tokenIds))
  const scored = sequences.filter((sequence) => numScoredTokens(sequence) > 0)
  return scored.length === 0 ? [] : [{ name: answersCorpus, sequences: scored }]
}

interface Computing extends ResolvedEvaluateOptions {
  readonly corpora: readonly Corpus[]
  readonly pack: BackendPack
}

interface Compared {
  /** Mean −ln p of the original, by corpus. */
  readonly losses: ReadonlyMap<string, Estimate>
  /** `[model]`, without the original. */
  readonly models: readonly { readonly weightBytes: number; readonly corpora: readonly ComparedCorpus[] }[]
  readonly originalWeightBytes: number
}

async function compareAll(
  [original, ...others]: readonly Subject[],
  { corpora, pack, seed, cacheBytes, onProgress }: Computing,
): Promise<Compared> {
  if (original === undefined) throw new InvalidConfigError('models', 'there is none')
  const progressOf =
    ({ name }: Subject) =>
    (done: number, total: number): void =>
      onProgress?.(`${name}: tokens`, done, total)
  using states = await OriginalStates.compute(original.opened, {
    name: original.name,
    pack,
    corpora,
    budgetBytes: cacheBytes,
    onProgress: progressOf(original),
  })
  const models: { weightBytes: number; corpora: ComparedCorpus[] }[] = []
  for (const subject of others) {
    const model = subject.opened.load()
    try {
      const compared = await states.compare(model, subject.name, progressOf(subject))
      models.push({ weightBytes: model.weightBytes, corpora: compared })
    } finally {
      model.dispose()
    }
  }
  return {
    losses: new Map(corpora.map(({ name }) => [name, states.loss(name, seed)])),
    models,
    originalWeightBytes: states.weightBytes,
  }
}

/** `[model]`, without the original. */
async function layerErrorsOf(
  [original, ...others]: readonly Subject[],
  { corpora, pack, layerErrors: isWanted, layerTokens, onProgress }: Computing,
): Promise<readonly (readonly number[])[] | null> {
  if (!isWanted || original === undefined || others.length === 0) return null
  const differs = others.find(({ opened }) => opened.config.numLayers !== original.opened.config.numLayers)
  if (differs !== undefined) return null // a pruned model: there is no layer for each
  return measureLayerErrors({
    original: original.opened,
    models: others.map(({ opened }) => opened),
    pack,
    sequences: firstTokens(corpora, layerTokens),
    onProgress: (done, total) => onProgress?.('layers', done, total),
  })
}

/** Of every corpus the same share. */
function firstTokens(corpora: readonly Corpus[], maxTokens: number): Corpus['sequences'] {
  return corpora.flatMap(({ sequences }) => {
    let left = Math.max(1, Math.floor(maxTokens / corpora.length))
    return sequences.flatMap(({ tokenIds, firstScored }) => {
      const taken = tokenIds.subarray(0, left)
      left -= taken.length
      return taken.length === 0 ? [] : [{ tokenIds: taken, firstScored }]
    })
  })
}

/** Models take turns, each time in a process of its own. */
async function measureSpeeds(
  subjects: readonly Subject[],
  options: ResolvedEvaluateOptions,
): Promise<SpeedFigures[] | null> {
  const { speed, speedRounds, prefillTokens, backend, modules, onProgress } = options
  if (!speed) return null
  const rounds = subjects.map((): SpeedFigures[] => [])
  for (let round = 0; round < speedRounds; round++) {
    for (const [i, { path }] of subjects.entries()) {
      rounds[i]!.push(await runSpeedProcess({ model: path, backend, modules, prefillTokens }))
      onProgress?.('speed', round * subjects.length + i + 1, speedRounds * subjects.length)
    }
  }
  return rounds.map(combineRounds)
}

interface Run {
  readonly corpora: readonly Corpus[]
  readonly sets: readonly TaskSet[]
  readonly answers: readonly (readonly Answer[])[]
  readonly compared: Compared
  readonly errors: readonly (readonly number[])[] | null
  readonly speeds: readonly SpeedFigures[] | null
  readonly seed: number
}

function figuresOf({ name, opened }: Subject, index: number, run: Run): ModelFigures {
  const { corpora, compared, speeds, seed } = run
  const mine = index === 0 ? null : compared.models[index - 1]
  return {
    model: name,
    weightBytes: mine?.weightBytes ?? compared.originalWeightBytes,
    fileBytes: checkpointFiles(opened.checkpoint.path).reduce((sum, file) => sum + statSync(file).size, 0),
    texts: corpora.map((corpus, c) => ({
      name: corpus.name,
      numTokens: corpus.sequences.reduce((sum, sequence) => sum + numScoredTokens(sequence), 0),
      perplexity: expEstimate(
        mine?.corpora[c]?.divergences.losses(seed).loss ?? compared.losses.get(corpus.name) ?? notANumber,
      ),
    })),
    tasks: tasksOf(index, run).map(({ figures }) => figures),
    speed: speeds?.[index] ?? null,
  }
}

const notANumber: Estimate = { value: NaN, low: NaN, high: NaN }

function tasksOf(index: number, { sets, answers, seed }: Run): { figures: TaskFigures; scores: AnswerScore[] }[] {
  const texts = (answers[index] ?? []).map(({ text }) => text)
  let start = 0
  return sets.map((set) => {
    // The last one, where it is all of them, begins anew.
    const from = start + set.items.length > texts.length ? 0 : start
    start = from + set.items.length
    const scores = scoreSet(set, texts.slice(from, start))
    return { figures: taskFigures(set, scores, seed), scores }
  })
}

function comparisonOf(index: number, run: Run): Omit<ComparedModel, keyof ModelFigures> {
  const { compared, errors, seed } = run
  const originals = tasksOf(0, run)
  return {
    divergences: (compared.models[index - 1]?.corpora ?? []).map(({ name, divergences }) => ({
      name,
      divergence: divergences.summarize(seed),
      perplexityRatio: expEstimate(divergences.losses(seed).difference),
    })),
    taskComparisons: tasksOf(index, run).flatMap(({ figures, scores }, s) => {
      const original = originals[s]
      if (original === undefined) return []
      return [compareTask(original.figures, figures, { scores, originalScores: original.scores, seed })]
    }),
    layerErrors: errors?.[index - 1] ?? null,
  }
}
