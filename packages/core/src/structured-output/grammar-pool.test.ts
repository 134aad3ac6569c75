import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { openCheckpoint } from '../loading/checkpoint.ts'
import { createTokenizer } from '../tokenizer/hf-tokenizer.ts'
import { type GrammarLimits, GrammarPool, type MaskRow, type NextTokens } from './grammar-pool.ts'
import type { GrammarSpec } from './grammar-spec.ts'
import { GrammarThread } from './grammar-thread.ts'
import type { TagFormat } from './structural-tag.ts'

const modelPath = fileURLToPath(new URL('../../models/octavo-tiny', import.meta.url))
const tokenizer = createTokenizer((await openCheckpoint(modelPath)).readTokenizer())
const { vocabSize } = tokenizer
const eosTokenId = tokenizer.eosTokenId!

const open: GrammarPool[] = []
const threads: GrammarThread[] = []

function createPool(limits: Partial<GrammarLimits> = {}): GrammarPool {
  const pool = new GrammarPool({
    modelPath,
    vocabSize,
    limits,
    createThread(options) {
      const thread = new GrammarThread(options)
      threads.push(thread)
      return thread
    },
  })
  open.push(pool)
  return pool
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((pool) => pool.close()))
  expect(threads.splice(0).filter((thread) => !thread.hasEnded)).toEqual([])
})

function specOf(tag: TagFormat, stopTokenIds: readonly number[] = [eosTokenId]): GrammarSpec {
  return { grammar: JSON.stringify(tag), stopTokenIds }
}

function ebnf(grammar: string): GrammarSpec {
  return specOf({ type: 'grammar', grammar })
}

function rowOf(
  id: string,
  spec: GrammarSpec,
  output: readonly number[],
  draftTokenIds: readonly number[] = [],
): MaskRow {
  return { id, tokenIds: [1, 2, 3, ...output], numPromptTokens: 3, draftTokenIds, spec }
}

/** As steps would, one after the other. */
async function nextTokens(pool: GrammarPool, row: MaskRow, numDrafts = 0): Promise<Exclude<NextTokens, 'late'>> {
  for (;;) {
    pool.ask([row], true)
    const next = pool.next(row, numDrafts)
    if (next !== 'late') return next
    await sleep(2)
  }
}

async function allowed(pool: GrammarPool, row: MaskRow, numDrafts = 0): Promise<string[] | string> {
  const next = await nextTokens(pool, row, numDrafts)
  if (!(next instanceof Int32Array)) return String(next)
  const ids = Array.from({ length: vocabSize }, (_, id) => id).filter((id) => (next[id >>> 5]! >>> (id & 31)) & 1)
  return ids.map((id) => tokenizer.decode([id]))
}

/** Follows the grammar, choosing by `choose` among what is allowed, up to a stop token. */
async function follow(
  pool: GrammarPool,
  spec: GrammarSpec,
  choose: (ids: readonly number[]) => number,
): Promise<string> {
  const output: number[] = []
  const id = `follow-${Math.random()}`
  while (output.at(-1) !== eosTokenId && output.length < 60) {
    const mask = await nextTokens(pool, rowOf(id, spec, output))
    if (!(mask instanceof Int32Array)) throw new Error(String(mask))
    const ids = Array.from({ length: vocabSize }, (_, i) => i).filter((i) => (mask[i >>> 5]! >>> (i & 31)) & 1)
    output.push(ids[choose(ids) % ids.length]!)
  }
  pool.drop([id])
  return tokenizer.decode(output.filter((token) => token !== eosTokenId))
}

function randomChoice(seed: number): () => number {
  let state = seed
  return () => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31)
}

const good = ebnf('root ::= "a" [b-d]+ "e"')

describe('a pool of grammars', () => {
  it('allows what the grammar allows, and its end where it is complete', async () => {
    const pool = createPool()
    const spec = specOf({ type: 'grammar', grammar: 'root ::= "no" | "yes" | "\\u00e9"' })
    await pool.compile(spec)
    const outputs = new Set<string>()
    for (let seed = 0; seed < 40; seed++) outputs.add(await follow(pool, spec, randomChoice(seed)))
    expect([...outputs].sort()).toEqual(['no', 'yes', 'é'])
  })

  it('has every output match its regular expression', async () => {
    const pool = createPool()
    for (const [pattern, grammar] of [
      [/^[A-C]{2,4}-\d+(\.\d{2})?$/, 'root ::= [A-C]{2,4} "-" [0-9]+ ("." [0-9]{2})?'],
      [/^(ab|cd)*x$/, 'root ::= ("ab" | "cd")* "x"'],
    ] as const) {
      await pool.compile(ebnf(grammar))
      for (let seed = 0; seed < 10; seed++) {
        const text = await follow(pool, ebnf(grammar), randomChoice(seed))
        if (text.length < 50) expect(text).toMatch(pattern)
      }
    }
  })

  it('knows what may follow drafts, and is where the output is afterwards', async () => {
    const pool = createPool()
    const [a, b, e, z] = ['a', 'b', 'e', 'z'].map((text) => tokenizer.encode(text, { addSpecialTokens: false })[0]!)
    await pool.compile(good)
    const row = rowOf('s', good, [], [a!, b!, z!, e!])
    expect(await allowed(pool, row)).toContain('a')
    expect(await allowed(pool, row, 1)).not.toContain('e')
    expect(await allowed(pool, row, 2)).toContain('e')
    expect(pool.next(row, 3)).toBe('late') // behind a draft that is never accepted
    expect(await allowed(pool, rowOf('s', good, [a!]))).not.toContain('e')
    expect(await allowed(pool, rowOf('s', good, [a!, b!, e!]))).toEqual([tokenizer.decode([eosTokenId])])
    expect(await allowed(pool, rowOf('s', good, [a!, b!, e!, eosTokenId]))).toBe('anything')
    expect(await allowed(pool, rowOf('s', good, [a!, b!, e!, eosTokenId, z!]))).toBe('anything')
    expect(await allowed(pool, rowOf('t', good, [z!]))).toMatch('does not allow')
  })

  it('takes special tokens for themselves where they are written in texts, and nowhere else', async () => {
    const [special, other] = [...tokenizer.specialTokenIds].filter((id) => id !== eosTokenId)
    const marker = tokenizer.idToToken(special!)!
    const pool = createPool()
    const tag: TagFormat = {
      type: 'sequence',
      elements: [
        { type: 'tag', begin: '', content: { type: 'any_text' }, end: marker },
        { type: 'grammar', grammar: 'root ::= [^"]*' },
      ],
    }
    await pool.compile(specOf(tag))
    const ids = async (output: readonly number[]): Promise<(id: number) => boolean> => {
      const mask = await nextTokens(pool, rowOf(`m${output.join()}`, specOf(tag), output))
      if (!(mask instanceof Int32Array)) throw new Error(String(mask))
      return (id) => ((mask[id >>> 5]! >>> (id & 31)) & 1) === 1
    }
    const inText = await ids([])
    expect([special!, other!, eosTokenId].map(inText)).toEqual([true, false, false])
    const spelled = await ids(tokenizer.encode('<', { addSpecialTokens: false }))
    expect([special!, eosTokenId].map(spelled)).toEqual([true, false])
    const behind = await ids([special!])
    expect([other!, eosTokenId].map(behind)).toEqual([false, true])
  })

  it('says why a grammar is refused, without its threads saying so anywhere', async () => {
    const pool = createPool()
    const reasonOf = (spec: GrammarSpec): Promise<string> =>
      pool.compile(spec).then(
        () => 'taken',
        (error: Error) => `${error.name}: ${error.message}`,
      )
    expect(await reasonOf(ebnf('root ::= foo'))).toMatch(/^InvalidRequestError: .*Rule "foo" is not defined\.$/)
    expect(await reasonOf(ebnf('root ::= "a" ('))).toMatch(/line 1/)
    expect(await reasonOf(ebnf('no ::= "a"'))).toMatch(/root/)
    expect(await reasonOf(specOf({ type: 'const_string', value: '' }))).toMatch(/do not fit together/)
    expect(await reasonOf(ebnf('root ::= "a\0"'))).toMatch(/cannot be used/)
    expect(await reasonOf({ ...good, grammar: 'x'.repeat(2 ** 21) })).toMatch(/2097152 characters/)
    expect(await reasonOf(good)).toBe('taken')
  })

  it('survives whatever it is given, while others go on', async () => {
    const pool = createPool({ compileTimeoutMs: 1500 })
    await pool.compile(good)
    const hostile = [
      `root ::= ${'('.repeat(50_000)}"a"${')'.repeat(50_000)}`,
      ...Array.from({ length: 30 }, (_, i) => `root ::= missing${i}`),
      `root ::= ${'a '.repeat(1000)}`,
      'root ::= ("a"{1,1000} | "b"{1,1000}){1,1000} ("c"{1,1000}){1,900}',
      'root ::= "\u{0}"',
    ]
    const outcomes = Promise.all(hostile.map((grammar) => pool.compile(ebnf(grammar)).catch((error: Error) => error)))
    let numDone = 0
    const state = { isOver: false }
    void outcomes.then(() => (state.isOver = true))
    while (!state.isOver) {
      expect(await follow(pool, good, randomChoice(numDone++))).toMatch(/^a[b-d]+e?$/)
      await sleep(1)
    }
    expect(numDone).toBeGreaterThan(10)
    for (const outcome of await outcomes) if (outcome !== undefined) expect(outcome.name).toBe('InvalidRequestError')
    await expect(pool.compile(ebnf('root ::= "still here"'))).resolves.toBeUndefined()
  }, 60_000)

  it('builds matchers anew where a thread dies', async () => {
    const pool = createPool()
    await pool.compile(good)
    const [a, b] = ['a', 'b'].map((text) => tokenizer.encode(text, { addSpecialTokens: false })[0]!)
    expect(await allowed(pool, rowOf('s', good, [a!]))).not.toContain('e')
    for (let i = 0; i < 3; i++) {
      await Promise.all(threads.map((thread) => thread.end()))
      expect(await allowed(pool, rowOf('s', good, [a!, b!]))).toContain('e')
    }
  })

  it('takes no more memory with the number of grammars', async () => {
    const pool = createPool()
    const compile = (i: number): Promise<void> =>
      pool.compile(ebnf(`root ::= "n${i}" [a-z]{1,${(i % 9) + 1}} | [0-9]+`))
    const use = async (from: number, to: number): Promise<number> => {
      for (let i = from; i < to; i++) {
        await compile(i)
        await follow(pool, ebnf(`root ::= "n${i}" [a-z]{1,${(i % 9) + 1}} | [0-9]+`), randomChoice(i))
      }
      return process.memoryUsage().rss / 1024 ** 2
    }
    const before = await use(0, 60)
    expect(await use(60, 260)).toBeLessThan(before + 60)
    expect(threads.length).toBeLessThan(12)
  }, 60_000)

  it('tells who waits when it is closed', async () => {
    const pool = createPool()
    const waiting = pool.compile(good)
    waiting.catch(() => {})
    await pool.close()
    await expect(waiting).rejects.toThrow()
    await expect(pool.compile(ebnf('root ::= "a"'))).rejects.toThrow('closed')
  })
})
