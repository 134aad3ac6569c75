import { createProgram } from './program.ts'
import { endWhenReaderLeaves } from './ui/closed-output.ts'
import { exitCodeOf, reportError } from './ui/report-error.ts'

const program = createProgram()
endWhenReaderLeaves(process.stdout)

try {
  await program.parseAsync()
} catch (error) {
  reportError(error, { withStack: program.opts<{ debug?: boolean }>().debug === true })
  process.exit(exitCodeOf(error))
}
