import type { EngineOptions } from '@octavo/core'
import { type Command, Option } from 'commander'
import type { BackendFlags } from '../backend-modules.ts'
import { collect, integer, templateText, tokenCount } from './parsers.ts'

/** What commander leaves in the options object: the names are EngineOptions' own. */
export type EngineFlags = Omit<EngineOptions, 'model'> & BackendFlags

/** Of `octavo env` too. */
export function threadsOption(): Option {
  return new Option('--threads <count>', 'threads of the native backend (all CPUs; OCTAVO_THREADS)').argParser(
    integer(1, 1024),
  )
}

/** How the model is found, loaded and kept. */
export function addModelFlags(command: Command): Command {
  return command
    .option('--revision <revision>', 'branch, tag or commit of the Hugging Face repository (main)')
    .option('--backend <name>', 'auto, or a name that `octavo env` lists (auto; OCTAVO_BACKEND)')
    .addOption(threadsOption())
    .addOption(
      new Option(
        '--dtype <dtype>',
        'how weights are kept in memory, and what the backend tensorflow computes in (auto: as stored, and float32)',
      ).choices(['auto', 'float32', 'float16', 'bfloat16']),
    )
    .option(
      '--max-model-len <tokens>',
      'prompt and output together, such as 4096, 4k or 4K (the model’s own)',
      tokenCount,
    )
    .option('--kv-cache-memory <size>', 'bytes, a size such as 2GiB, or a share of free memory such as 40% (40%)')
    .addOption(
      new Option('--kv-cache-dtype <dtype>', 'how keys and values are kept (auto: as computed)').choices([
        'auto',
        'float32',
        'bfloat16',
        'int8',
      ]),
    )
    .option('--block-size <tokens>', 'tokens per KV block (16)', integer(1, 1024))
    .option('--max-num-batched-tokens <tokens>', 'tokens computed in one step (512)', tokenCount)
    .option('--warmup', 'run each size of batch once before serving, on tensorflow (auto: with a GPU)')
    .option('--no-warmup', 'serve at once; the first requests wait for what a GPU prepares at first use')
    .option('--no-enable-prefix-caching', 'compute every prompt anew')
    .option('--chat-template <jinja>', 'template text or file that replaces the model’s own', templateText)
    .addOption(
      new Option('--generation-config <source>', 'sampling defaults: the checkpoint’s, or Octavo’s').choices([
        'auto',
        'octavo',
      ]),
    )
}

/** What matters when many requests share the engine. */
export function addServingFlags(command: Command): Command {
  return command
    .option('--max-num-seqs <count>', 'sequences computed at once (64)', integer(1, 65_536))
    .option('--no-enable-chunked-prefill', 'compute every prompt in one step, which must hold a whole context')
    .option(
      '--long-prefill-token-threshold <tokens>',
      'prompt tokens of one sequence per step; 0 = no limit of its own (0)',
      integer(0),
    )
    .addOption(new Option('--scheduling-policy <policy>', 'who runs first').choices(['fcfs', 'priority']))
    .option('--served-model-name <name>', 'the name that requests use; may be repeated (the model as given)', collect)
    .option('--max-logprobs <count>', 'cap on logprobs of a request; -1 = none (20)', integer(-1))
    .option('--seed <number>', 'from which requests without a seed get theirs (random)', integer(0))
}

/** Only what core knows as an option: commander's object holds the command's other flags too. */
export function engineOptionsOf(model: string, flags: EngineFlags): EngineOptions {
  const { revision, backend, dtype, maxModelLen, kvCacheMemory, blockSize, maxNumBatchedTokens, enablePrefixCaching } =
    flags
  const { kvCacheDtype, warmup } = flags
  const { chatTemplate, generationConfig, maxNumSeqs, schedulingPolicy, servedModelName, maxLogprobs, seed } = flags
  const { enableChunkedPrefill, longPrefillTokenThreshold } = flags
  const options = {
    model,
    revision,
    backend,
    dtype,
    maxModelLen,
    kvCacheMemory,
    kvCacheDtype,
    warmup,
    blockSize,
    maxNumBatchedTokens,
    enablePrefixCaching,
    chatTemplate,
    generationConfig,
    maxNumSeqs,
    enableChunkedPrefill,
    longPrefillTokenThreshold,
    schedulingPolicy,
    servedModelName,
    maxLogprobs,
    seed,
  }
  return options
}
