import { createProgram } from './program.ts'
import { exitCodeOf, reportError } from './ui/report-error.ts'

const program = createProgram()

try {
  await program.parseAsync()
} catch (error) {
  reportError(error, { withStack: program.opts<{ debug?: boolean }>().debug === true })
  process.exit(exitCodeOf(error))
}
