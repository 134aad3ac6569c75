import { beforeAll, describe, expect, it } from 'vitest'
import { createRandom, GrammarSampler } from '../grammar-sampler.case.ts'
import { checkGrammar } from './check-grammar.ts'

let sampler: GrammarSampler
beforeAll(async () => {
  sampler = await GrammarSampler.create()
})

describe('checkGrammar', () => {
  it.each<[string, string[], string[]]>([
    ['root ::= "abd" | "zyc" | "abc"', ['abd', 'zyc', 'abc'], ['zyd']],
    ['root ::= a | b | c # a comment\na ::= "abd"\nb ::= "zyc"\n\nc ::= "abc"\n', ['abd', 'zyc', 'abc'], ['zyd']],
    ['root ::= [à-ü]+ "x" | [^é"]{2}\n', ['éàx', 'ab', 'àà'], ['éa', 'x']],
    ['root ::= expr\nexpr ::= term ("+" term)*\nterm ::= [0-9]+ | "(" expr ")"', ['1', '1+2', '(1+2)+3'], ['1+', '()']],
    ['root ::= "日本" | "日光" | "月光"', ['日本', '日光', '月光'], ['月本']],
    ['root ::= ("a" | "b"){2,3} "\\n" | ""\n', ['ab\n', 'abb\n', ''], ['a\n']],
    ['root ::= x "y" | x "z"\nx ::= "q"?', ['y', 'qz'], ['x', 'q']],
    ['root ::= "\\u00e9\\x41\\U0001f600" [\\]\\-^"]', ['éA😀]', 'éA😀"'], ['éA😀a']],
    ['root ::= root "a" | "a"', ['a', 'aaa'], ['', 'b']],
  ])('%s means what it says', async (grammar, good, bad) => {
    const compiled = await sampler.compile(checkGrammar(grammar))
    for (const text of good) expect([text, await sampler.accepts(compiled, text)]).toEqual([text, true])
    for (const text of bad) expect([text, await sampler.accepts(compiled, text)]).toEqual([text, false])
  })

  it('keeps random alternatives apart, in one rule and in several', async () => {
    const random = createRandom(3)
    const word = (): string =>
      Array.from({ length: 1 + Math.floor(random() * 5) }, () => 'abc'[Math.floor(random() * 3)]).join('')
    for (let round = 0; round < 300; round++) {
      const words = [...new Set(Array.from({ length: 2 + Math.floor(random() * 5) }, word))]
      const grammar =
        round % 2 === 0
          ? `root ::= ${words.map((text) => JSON.stringify(text)).join(' | ')}`
          : `root ::= ${words.map((_, index) => `r${index}`).join(' | ')}\n${words.map((text, index) => `r${index} ::= ${JSON.stringify(text)}`).join('\n')}`
      const compiled = await sampler.compile(checkGrammar(grammar))
      for (const text of [...words, ...Array.from({ length: 30 }, word)]) {
        expect([grammar, text, await sampler.accepts(compiled, text)]).toEqual([grammar, text, words.includes(text)])
      }
      compiled.dispose()
    }
  })

  it.each([
    ['', 'it has no rule named root'],
    ['root ::= ', 'line 1: nothing where a part of a rule is expected'],
    ['root ::= "a"\nroot ::= y', 'line 2: the rule root is defined twice'],
    ['root ::= y', 'the rule root names y, which is not defined'],
    ['root ::= "a" root', 'no text of root ever ends'],
    ['root ::= "a', 'line 1: the text is not closed'],
    ['root ::= ("a"', 'line 1: a group that is not closed'],
    ['root ::= [a', 'line 1: the character class is not closed'],
    ['root ::= [z-a]', 'line 1: a range whose ends are out of order'],
    ['root ::= "a"{3,1}', 'line 1: a repetition whose minimum is above its maximum'],
    ['root ::= "\\q"', 'line 1: the escape \\q is not known'],
    ['root ::= TagDispatch(("a", b))', 'line 1: functions such as TagDispatch(…) are not supported'],
    [`root ::= ${'('.repeat(50_000)}`, 'line 1: groups nested deeper than 64'],
    ['root ::= (("a"{9999}){9999}){9999}', 'come to more than 20000'],
    ['root ::= "a" (="b")', 'line 1: lookahead assertions are not supported'],
    ['root ::= "a\0"', 'a NUL character'],
    ['root ::= "a" | []', 'a character class without characters'],
    [`root ::= ${'"a" | '.repeat(30_000)}"a"`, 'line 1: more than 20000 parts'],
  ])('refuses %s: %s', (grammar, reason) => {
    expect(() => checkGrammar(grammar)).toThrow(reason)
    expect(() => checkGrammar(grammar)).toThrow(
      expect.objectContaining({ code: 'invalid_request', param: 'structuredOutput' }),
    )
  })
})
