// docs/models.md: what names a model may have, and which models there are.
import { findArchitecture, supportedArchitectures } from '../../packages/core/src/config/architectures.ts'
import { ggufArchitectureNames } from '../../packages/core/src/loading/gguf-architecture.ts'
import { quantizationMethods } from '../../packages/core/src/quantization/create-quantization-scheme.ts'
import { loadableGgmlTypes } from '../../packages/core/src/loading/gguf-header.ts'

export function modelsPage(origin) {
  return `${origin}

# Models: names and files

What \`octavo serve NAME\`, \`LLM.load(name)\` and every other place that takes a model understand, in this order:

| name | what it is |
|---|---|
| \`octavo-tiny\` | the embedded model, part of \`@octavo/core\`; nothing is fetched |
| \`./folder\`, \`/path/to/folder\` | a folder in Hugging Face's layout, or one with a single GGUF model in it |
| \`model.gguf\` | a GGUF file; of a split one any part: \`model-00001-of-00003.gguf\` |
| \`owner/name\` | a repository of the hub, its safetensors |
| \`owner/name:Q4_K_M\` | a GGUF file of a repository by its quantization label, as it stands between \`-\` or \`.\` at the end of the file's name |
| \`owner/name:path/to/file.gguf\` | a GGUF file of a repository by its name; with all its parts where it is split |

A path of this machine goes before a repository of the same name; what begins with \`.\`, \`/\` or \`~\` is never looked for on the hub.
\`--revision\` (\`revision\`) names a branch, tag or commit; the commit that a branch stood at is kept for offline use.

## What is read of a folder, and fetched of a repository

| file | |
|---|---|
| \`config.json\` | must be there |
| \`tokenizer.json\` | must be there; a checkpoint with only \`tokenizer.model\` or \`vocab.json\` is saved once with \`AutoTokenizer.save_pretrained\` |
| \`tokenizer_config.json\`, \`special_tokens_map.json\`, \`chat_template.jinja\`, \`additional_chat_templates/*.jinja\` | special tokens and the chat template |
| \`generation_config.json\` | defaults of sampling, end tokens (\`--generation-config octavo\` leaves its sampling aside) |
| \`model.safetensors\`, or \`model.safetensors.index.json\` and its shards | the weights: float32, float16, bfloat16, or quantized |
| \`quantize_config.json\`, \`quant_config.json\`, \`hf_quant_config.json\` | how the weights are quantized, where config.json does not say it |
| \`modules.json\`, \`1_Pooling/config.json\`, \`2_Dense/…\`, \`config_sentence_transformers.json\`, \`sentence_bert_config.json\` | which vector is the embedding ([pooling.md](pooling.md#which-models)) |

Nothing else is fetched, and PyTorch pickles (\`.bin\`, \`.pt\`) are never loaded: they can run code. A GGUF file has all of these in itself, and only it is
fetched. Weights of a file that no layer reads are an error that names them, but for known leftovers; so is a pointer of Git LFS in a file's place.

Downloads go to the standard cache of the Hugging Face tools (\`HF_HUB_CACHE\`, [environment.md](environment.md)), which both share; an interrupted one goes on where
it stopped; free space is checked before. Gated and private repositories need \`HF_TOKEN\` or \`hf auth login\`. \`HF_HUB_OFFLINE=1\` uses what is there.

## Architectures

Decoders, which generate and embed:

| \`architectures\` in config.json | GGUF, by \`general.architecture\` | without a head: they embed | with a classifier of texts, or of tokens |
|---|---|---|---|
${rowsOf('tokens').map(decoderRow).join('\n')}

Encoders, which embed or classify:

| \`architectures\` in config.json | as masked language models, which embed | with a classifier of texts, or of tokens |
|---|---|---|
${encoderRows().join('\n')}

\`Gemma3ForConditionalGeneration\` serves its text part. An architecture that is not in the table is refused by its name, before anything else of the checkpoint is judged.
How one is added: [add-a-model.md](add-a-model.md).

## Quantized weights in safetensors

${quantizationMethods.map((name) => `\`${name}\``).join(', ')}, by \`quant_method\`; which variants of each: [quantization.md](quantization.md#formats). All others are refused by their name.

## Weights in GGUF files

${loadableGgmlTypes.join(', ')}; Q2_K is widened to float32, the IQ, TQ, Q3_K and FP4 types run as codes of a table with scales of groups ([quantization.md](quantization.md#gguf)). A file may mix them.
`
}

/** Names whose model file has a head of this kind. */
function rowsOf(head) {
  return supportedArchitectures.filter((name) => findArchitecture(name).head === head)
}

function relativesOf(name, head) {
  const { model } = findArchitecture(name)
  const prefix = /^(XLM)?(?:[A-Z][a-z]+|GPT2|[A-Z][a-z]+[0-9]?)/.exec(name)[0].slice(0, 4)
  return rowsOf(head).filter((other) => findArchitecture(other).model === model && other.startsWith(prefix))
}

function listed(names) {
  return names.length === 0 ? '' : names.map((name) => `\`${name}\``).join(', ')
}

function decoderRow(name) {
  const relatives = name === 'Gemma3ForConditionalGeneration' ? () => [] : (head) => relativesOf(name, head)
  const classifiers = [...relatives('classes'), ...relatives('token-classes')]
  return `| \`${name}\` | ${ggufOf(name)} | ${listed(relatives('none'))} | ${listed(classifiers)} |`
}

function ggufOf(name) {
  // Converters write Mistral's models under Llama's name.
  if (name === 'MistralForCausalLM') return '`llama`'
  const keys = ggufArchitectureNames.filter(([, architecture]) => architecture === name).map(([key]) => key)
  const note = name === 'MixtralForCausalLM' ? ' with experts' : ''
  return keys.length === 0 ? 'no' : keys.map((key) => `\`${key}\`${note}`).join(', ')
}

function encoderRows() {
  const models = rowsOf('none').filter((name) => name.endsWith('Model') && relativesOf(name, 'tokens').length === 0)
  return models.map((name) => {
    const others = relativesOf(name, 'none').filter((other) => other !== name)
    const classifiers = [...relativesOf(name, 'classes'), ...relativesOf(name, 'token-classes')]
    return `| \`${name}\` | ${listed(others)} | ${listed(classifiers)} |`
  })
}
