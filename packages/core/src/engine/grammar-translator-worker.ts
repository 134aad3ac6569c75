/** Entry point of the thread that translates schemas, regular expressions and tools into grammars. */
import { serveJobs } from './serve-jobs.ts'
import { translateGrammar } from './translate-grammar.ts'

serveJobs(translateGrammar)
