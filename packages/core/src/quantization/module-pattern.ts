import { CheckpointError } from '../errors.ts'

/** Whether Python's `re.match` finds the pattern at the beginning of a module's name. */
export type ModulePattern = (name: string) => boolean

const maxPatternLength = 2000
const maxSteps = 5000
const maxRepeats = 1000

/** One step of a program that looks at all its places at once: its time is bounded by steps times length, whatever the pattern. */
type Step =
  | { readonly kind: 'char'; readonly test: (code: number) => boolean }
  | { readonly kind: 'split'; readonly targets: number[] }
  | { readonly kind: 'at'; readonly test: (name: string, at: number) => boolean }
  | { readonly kind: 'end' }

type Program = readonly Step[]

/** Steps that the patterns of a configuration may take for all names together: a hundred large models' worth, some seconds. */
export interface PatternBudget {
  visits: number
}

export function createPatternBudget(visits = 200_000_000): PatternBudget {
  return { visits }
}

export interface PatternOptions {
  readonly budget: PatternBudget
  /** Throws, saying where the pattern stands. */
  refuse(reason: string): never
}

/** Of a checkpoint's own configuration. */
export function refusePattern(file: string): PatternOptions['refuse'] {
  return (reason) => {
    throw new CheckpointError(file, reason)
  }
}

/**
 * Patterns of configurations are from outside: JavaScript's own engine could be made to backtrack for years, so they run as an
 * automaton (Thompson 1968). Python's syntax without flags and references back.
 *
 * Refuses naming the pattern and what of it can't be read; so does the pattern, where the budget is spent.
 */
export function createModulePattern(pattern: string, { budget, refuse }: PatternOptions): ModulePattern {
  const fail = (reason: string): never =>
    refuse(`the pattern ${JSON.stringify(pattern.slice(0, 200))} for names of modules: ${reason}`)
  if (pattern.length > maxPatternLength) fail(`has ${pattern.length} characters; the limit is ${maxPatternLength}`)
  const spend = (): void => {
    if (--budget.visits < 0) fail('takes too long to look for; write fewer and simpler ones')
  }
  const program = new PatternCompiler(pattern, fail, spend).compile()
  return (name) => ends(program, { name, start: 0, spend }).length > 0
}

interface Search {
  readonly name: string
  readonly start: number
  /** Throws where nothing is left. */
  spend(): void
}

/** Where a match that begins at `start` can end. */
function ends(program: Program, { name, start, spend }: Search): number[] {
  const found: number[] = []
  const enteredAt = new Int32Array(program.length).fill(-1)
  const open: number[] = []
  /** Adds the steps that look at the character at `at`. */
  const enter = (states: number[], first: number, at: number): void => {
    open.push(first)
    for (let state = open.pop(); state !== undefined; state = open.pop()) {
      if (enteredAt[state] === at) continue
      enteredAt[state] = at
      spend()
      const step = program[state]!
      if (step.kind === 'split') open.push(...step.targets)
      else if (step.kind === 'char') states.push(state)
      else if (step.kind === 'end') found.push(at)
      else if (step.test(name, at)) open.push(state + 1)
    }
  }
  let current: number[] = []
  enter(current, 0, start)
  for (let at = start; current.length > 0 && at < name.length; at++) {
    const next: number[] = []
    const code = name.charCodeAt(at)
    for (const state of current) {
      const step = program[state]!
      if (step.kind === 'char' && step.test(code)) enter(next, state + 1, at + 1)
    }
    current = next
  }
  return found
}

type Test = (code: number) => boolean

const isDigit: Test = (code) => code >= 48 && code <= 57
const isWord: Test = (code) => isDigit(code) || code === 95 || (code >= 65 && code <= 90) || (code >= 97 && code <= 122)
const isSpace: Test = (code) => code === 32 || (code >= 9 && code <= 13)
const not =
  (test: Test): Test =>
  (code) =>
    !test(code)
const classes: Readonly<Record<string, Test>> = {
  d: isDigit,
  w: isWord,
  s: isSpace,
  D: not(isDigit),
  W: not(isWord),
  S: not(isSpace),
}
const controls: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', f: '\f', v: '\v' }

function isBoundary(name: string, at: number): boolean {
  const isWordAt = (i: number): boolean => i >= 0 && i < name.length && isWord(name.charCodeAt(i))
  return isWordAt(at - 1) !== isWordAt(at)
}

class PatternCompiler {
  readonly #pattern: string
  readonly #fail: (reason: string) => never
  readonly #spend: () => void
  #at = 0
  #depth = 0
  #numSteps = 0

  constructor(pattern: string, fail: (reason: string) => never, spend: () => void) {
    this.#pattern = pattern
    this.#fail = fail
    this.#spend = spend
  }

  compile(): Program {
    const steps = this.#alternatives()
    if (this.#at < this.#pattern.length) this.#fail('has a ")" too many')
    return [...steps, { kind: 'end' }]
  }

  /** Steps whose targets are relative to their own first. */
  #alternatives(): Step[] {
    if (++this.#depth > 100) this.#fail('is nested too deeply')
    const branches = [this.#sequence()]
    while (this.#take('|')) branches.push(this.#sequence())
    this.#depth--
    return branches.reduceRight((rest, branch) => this.#either(branch, rest))
  }

  #sequence(): Step[] {
    const steps: Step[] = []
    while (this.#at < this.#pattern.length && !'|)'.includes(this.#pattern[this.#at]!)) {
      append(steps, this.#quantified(this.#atom()))
    }
    return steps
  }

  #quantified(atom: Step[]): Step[] {
    const range = this.#quantifier()
    if (range === null) return atom
    this.#take('?')
    if ('*+?{'.includes(this.#pattern[this.#at] ?? ' ')) this.#fail('repeats a repetition')
    const [min, max] = range
    this.#numSteps += (atom.length + 2) * Math.max(min, Number.isFinite(max) ? max : min + 1)
    if (this.#numSteps > maxSteps) this.#fail('repeats too much')
    const steps: Step[] = []
    for (let i = 0; i < min; i++) append(steps, atom)
    if (max === Infinity) {
      const loop: Step[] = [{ kind: 'split', targets: [1, atom.length + 2] }]
      append(loop, atom)
      append(steps, [...loop, { kind: 'split', targets: [0] }])
      return steps
    }
    let rest: Step[] = []
    for (let i = min; i < max; i++) {
      const once = [...atom]
      append(once, rest)
      rest = this.#either(once, [])
    }
    append(steps, rest)
    return steps
  }

  #quantifier(): [min: number, max: number] | null {
    if (this.#take('*')) return [0, Infinity]
    if (this.#take('+')) return [1, Infinity]
    if (this.#take('?')) return [0, 1]
    const match = /^\{(\d{0,4})(?:(,)(\d{0,4}))?\}/.exec(this.#pattern.slice(this.#at, this.#at + 12))
    if (match === null || (match[1] === '' && match[2] === undefined)) return null
    this.#at += match[0].length
    const min = Number(match[1] ?? 0)
    const max = match[2] === undefined ? min : match[3] === '' ? Infinity : Number(match[3])
    if (max < min || min > maxRepeats || (Number.isFinite(max) && max > maxRepeats)) this.#fail(`repeats ${match[0]}`)
    return [min, max]
  }

  #atom(): Step[] {
    this.#numSteps++
    const char = this.#next()
    if (char === '(') return this.#group()
    if (char === '[') return [{ kind: 'char', test: this.#set() }]
    if (char === '.') return [{ kind: 'char', test: (code) => code !== 10 }]
    if (char === '^') return [{ kind: 'at', test: (_, at) => at === 0 }]
    if (char === '$') return [{ kind: 'at', test: (name, at) => at === name.length }]
    if (char === '\\') return [this.#escape()]
    if ('*+?'.includes(char)) this.#fail(`has a "${char}" with nothing before it`)
    return [{ kind: 'char', test: isCode(char) }]
  }

  #group(): Step[] {
    const look = /^\?(?:<?[=!])/.exec(this.#pattern.slice(this.#at, this.#at + 4))?.[0]
    if (look !== undefined) this.#at += look.length
    else {
      const open = /^\?(?::|P<\w{1,64}>)/.exec(this.#pattern.slice(this.#at, this.#at + 70))?.[0] ?? ''
      this.#at += open.length
      if (open === '' && this.#pattern[this.#at] === '?') this.#fail('has a group of a kind that is not known here')
    }
    const steps = this.#alternatives()
    if (!this.#take(')')) this.#fail('has a group that does not end')
    if (look === undefined) return steps
    const program: Program = [...steps, { kind: 'end' }]
    const isNegative = look.endsWith('!')
    const endsFrom = (name: string, start: number): number[] => ends(program, { name, start, spend: this.#spend })
    const found = (name: string, at: number): boolean =>
      look.startsWith('?<')
        ? Array.from({ length: at + 1 }, (_, start) => start).some((start) => endsFrom(name, start).includes(at))
        : endsFrom(name, at).length > 0
    return [{ kind: 'at', test: (name, at) => found(name, at) !== isNegative }]
  }

  #escape(): Step {
    const char = this.#next()
    if (char === 'b') return { kind: 'at', test: isBoundary }
    if (char === 'B') return { kind: 'at', test: (name, at) => !isBoundary(name, at) }
    if (char === 'A') return { kind: 'at', test: (_, at) => at === 0 }
    if (char === 'Z') return { kind: 'at', test: (name, at) => at === name.length }
    return { kind: 'char', test: this.#escaped(char) }
  }

  #escaped(char: string): Test {
    const test = Object.hasOwn(classes, char) ? classes[char] : undefined
    if (test !== undefined) return test
    if (Object.hasOwn(controls, char)) return isCode(controls[char]!)
    if (/[A-Za-z0-9]/.test(char)) this.#fail(`has the escape \\${char}, which is not known here`)
    return isCode(char)
  }

  #set(): Test {
    const isNegative = this.#take('^')
    const tests: Test[] = []
    for (let isFirst = true; isFirst || this.#pattern[this.#at] !== ']'; isFirst = false) {
      const char = this.#next()
      const last = this.#pattern[this.#at + 1]
      if (char === '\\') tests.push(this.#escaped(this.#next()))
      else if (this.#pattern[this.#at] === '-' && last !== undefined && last !== ']') {
        this.#at++
        const [from, to] = [char.charCodeAt(0), this.#next().charCodeAt(0)]
        if (to < from) this.#fail('has a range that ends before it begins')
        tests.push((code) => code >= from && code <= to)
      } else tests.push(isCode(char))
    }
    this.#at++
    return (code) => tests.some((test) => test(code)) !== isNegative
  }

  #either(first: readonly Step[], second: readonly Step[]): Step[] {
    const steps: Step[] = [{ kind: 'split', targets: [1, first.length + 2] }]
    append(steps, first)
    steps.push({ kind: 'split', targets: [first.length + 2 + second.length] })
    append(steps, second)
    return steps
  }

  #take(char: string): boolean {
    if (this.#pattern[this.#at] !== char) return false
    this.#at++
    return true
  }

  #next(): string {
    return this.#pattern[this.#at++] ?? this.#fail('ends in the middle')
  }
}

function isCode(char: string): Test {
  const expected = char.charCodeAt(0)
  return (code) => code === expected
}

/** Puts `more`, whose targets count from its own first step, behind `steps`. */
function append(steps: Step[], more: readonly Step[]): void {
  const offset = steps.length
  for (const step of more)
    steps.push(step.kind === 'split' ? { kind: 'split', targets: step.targets.map((target) => target + offset) } : step)
}
