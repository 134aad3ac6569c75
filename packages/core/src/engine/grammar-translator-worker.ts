/** Entry point of the thread that translates schemas, regular expressions and tools into grammars. */
import { lowerPriority } from '../util/lower-priority.ts'
import { serveJobs } from './serve-jobs.ts'
import { type GrammarInput, translateGrammar } from './translate-grammar.ts'

/** Whoever asks for a grammar may wait; the others' next tokens may not. */
const niceness = 5

lowerPriority(niceness)
serveJobs((input: string) => translateGrammar(JSON.parse(input) as GrammarInput))
