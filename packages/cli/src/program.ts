import { Command } from 'commander'
import { addChatCommand } from './commands/chat.ts'
import { addConvertCommand } from './commands/convert.ts'
import { addEnvCommand } from './commands/env.ts'
import { addKeyCommand } from './commands/key.ts'
import { addQuantizeCommand } from './commands/quantize.ts'
import { addEvaluateCommand } from './commands/evaluate.ts'
import { addInspectCommand } from './commands/inspect.ts'
import { addRunBatchCommand } from './commands/run-batch.ts'
import { addRunCommand } from './commands/run.ts'
import { addServeCommand } from './commands/serve.ts'
import { addTensorflowCommand } from './commands/tensorflow.ts'
import { explainUnknownFlag } from './flags/foreign-flags.ts'
import { helpLayout } from './ui/help-layout.ts'
import { readVersion } from './version.ts'

export function createProgram(): Command {
  const program = new Command('octavo')
    .description('Run, chat with and serve large language models from Node.')
    .version(readVersion(), '-v, --version')
    .option('--debug', 'show stacks of errors')
    .showSuggestionAfterError()
    .configureHelp(helpLayout)
    .configureOutput({ outputError: (text, write) => write(explainUnknownFlag(text)) })
    .exitOverride()
  addServeCommand(program)
  addRunCommand(program)
  addRunBatchCommand(program)
  addChatCommand(program)
  addQuantizeCommand(program)
  addConvertCommand(program)
  addInspectCommand(program)
  addEvaluateCommand(program)
  addKeyCommand(program)
  addEnvCommand(program)
  addTensorflowCommand(program)
  return program
}
