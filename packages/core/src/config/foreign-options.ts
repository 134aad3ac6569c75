/** Options that vLLM has and Octavo has not, and what to do instead; `{name}` is an option of ours. */
const remedies: Readonly<Record<string, string>> = {
  tensorParallelSize: 'the package octavo takes it as parallel: { tp }',
  pipelineParallelSize: 'the package octavo takes it as parallel: { pp }',
  enableExpertParallel: 'the package octavo takes the number of ranks as parallel: { ep }',
  distributedExecutorBackend: 'the package octavo takes it as parallel: { executor }',
  dataParallelSize: 'an engine is one replica; start one server for each',
  gpuMemoryUtilization:
    '{kvCacheMemory} says it for the KV cache: a size such as 2GiB, or a share of what is free after loading, such as 40%',
  kvCacheMemoryBytes: '{kvCacheMemory} takes bytes too',
  numGpuBlocksOverride: '{kvCacheMemory} says how much the KV cache takes',
  cpuOffloadGb: 'weights stay in one memory; a quantized checkpoint takes less',
  swapSpace: 'a preempted sequence is computed anew, nothing is swapped; leave it out',
  device: '{backend} chooses what computes',
  quantization: 'weights stay as the checkpoint stores them; name a quantized one, such as a .gguf file',
  loadFormat: 'files are known by what they are; leave it out',
  downloadDir: 'HF_HUB_CACHE names the folder',
  hfToken: 'HF_TOKEN holds the token',
  tokenizer: "the tokenizer is the checkpoint's own; leave it out",
  tokenizerMode: "the tokenizer is the checkpoint's own; leave it out",
  trustRemoteCode: 'code of a checkpoint is never run; leave it out',
  enforceEager: 'there are no graphs to capture; leave it out',
  maxSeqLen: '{maxModelLen} says it',
  maxSeqLenToCapture: 'there are no graphs to capture; leave it out',
  toolCallParser:
    'how a model writes calls is found in its chat template; leave it out, or give another with {chatTemplate}',
  reasoningParser:
    'how a model marks its thinking is found in its chat template; leave it out, or give another with {chatTemplate}',
  poolerConfig: '{poolingType} says how prompts are pooled; the rest is as the checkpoint says',
  overridePoolerConfig: '{poolingType} says how prompts are pooled; the rest is as the checkpoint says',
  runner: 'a model does all it can: it generates, embeds or classifies as its architecture says; leave it out',
  convert: 'every decoder embeds too, and a classifier is one by its architecture; leave it out',
  task: 'a model does all it can: it generates, embeds or classifies as its architecture says; leave it out',
  enableSleepMode: 'every engine can sleep; leave it out',
  enableServerLoadTracking: '/load counts in any case; leave it out',
  disableFastapiDocs:
    '/docs and /openapi.json tell nothing of this server that is not in its documentation; leave it out',
  enableAutoToolChoice: 'tools may be called wherever the chat template has them; leave it out',
  structuredOutputsConfig: 'there is one backend for grammars; leave it out',
  guidedDecodingBackend: 'there is one backend for grammars; leave it out',
}

/** What to say instead of an option of vLLM's; null for any other name. `spell` writes an option as the reader knows it. */
export function foreignOptionRemedy(name: string, spell = (option: string): string => option): string | null {
  const remedy = Object.hasOwn(remedies, name) ? remedies[name] : undefined
  return remedy?.replaceAll(/\{(\w+)\}/g, (_, option: string) => spell(option)) ?? null
}
