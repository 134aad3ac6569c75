// `npm start`, `npm test` and `npm run bench`: everything from a fresh clone, with only Node >= 20 and npm. No dependencies of its own.
import { bench } from './octavo/bench.mjs'
import { test } from './octavo/check.mjs'
import { exitCodeOf, Failure, interruptedBy } from './octavo/processes.mjs'
import { start } from './octavo/start.mjs'

const commands = { start, test, bench }

async function main([name, ...args]) {
  const command = commands[name]
  if (command === undefined)
    throw new Failure(`Unknown command ${name}; the known ones are ${Object.keys(commands).join(', ')}.`)
  return command(args)
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (interruptedBy() !== null) {
    process.exitCode = exitCodeOf(interruptedBy())
  } else if (error instanceof Failure) {
    console.error(`\noctavo: ${error.message}`)
    process.exitCode = 1
  } else {
    throw error
  }
}
