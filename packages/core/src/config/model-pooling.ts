import { type ModelActivation, parseActivation } from './activation.ts'
import type { ModelHead } from './architectures.ts'
import type { HfConfig } from './hf-config.ts'
import { maxLabels } from './hf-config.ts'
import type { ClassifierActivation, ClassifierConfig } from './pooling-config.ts'

/** What config.json says of a model's vectors and classes; how they are pooled is in the files of sentence-transformers, too. */
export interface ModelPooling {
  /** `null` for a model without a classifier. */
  readonly classifier: ClassifierConfig | null
  /** ModernBERT's classifiers read the first token, or the mean of all. */
  readonly classifierType: 'cls' | 'mean'
  readonly classifierActivation: ModelActivation
  readonly hasClassifierBias: boolean
  /** To which lengths embeddings may be cut: these, any, or none. */
  readonly matryoshka: readonly number[] | 'any' | null
  /** Whether a decoder's classifier reads pairs as its tokenizer joins them. */
  readonly usesSeparator: boolean
}

interface Context {
  /** Throws a `CheckpointError` that names the key. */
  fail(key: string, reason: string): never
  /** Throws an `UnsupportedModelError`. */
  unsupported(message: string): never
}

/** What transformers takes where config.json says nothing. */
const defaultNumLabels = 2

export function parseModelPooling(hf: HfConfig, head: ModelHead, context: Context): ModelPooling {
  const type = hf.classifier_pooling ?? 'cls'
  if (type !== 'cls' && type !== 'mean')
    return context.fail('classifier_pooling', `${JSON.stringify(type)} is not known; known are cls and mean`)
  const { matryoshka_dimensions: dimensions } = hf
  return Object.freeze<ModelPooling>({
    classifier: head === 'classes' || head === 'token-classes' ? parseClassifier(hf, context) : null,
    classifierType: type,
    classifierActivation: parseActivation(hf.classifier_activation ?? 'gelu', context.unsupported),
    hasClassifierBias: hf.classifier_bias ?? false,
    matryoshka: dimensions?.length ? Object.freeze([...dimensions]) : hf.is_matryoshka ? 'any' : null,
    usesSeparator: hf.use_sep_token ?? false,
  })
}

function parseClassifier(hf: HfConfig, context: Context): ClassifierConfig {
  const labels = parseLabels(hf, context)
  return Object.freeze({
    numLabels: labels.length,
    labels: Object.freeze(labels),
    activation: resolveActivation(hf, labels.length, context),
  })
}

function parseLabels({ id2label, num_labels: numLabels }: HfConfig, { fail }: Context): string[] {
  if (id2label === undefined) return Array.from({ length: numLabels ?? defaultNumLabels }, (_, i) => `LABEL_${i}`)
  const count = Object.keys(id2label).length
  if (count === 0 || count > maxLabels) fail('id2label', `has ${count} labels; it must have from 1 to ${maxLabels}`)
  return Array.from({ length: count }, (_, i) =>
    String(id2label[i] ?? fail('id2label', `has ${count} labels, but none of number ${i}`)),
  )
}

/**
 * As vLLM: that of a cross-encoder's files, else by the kind of problem; without either a sigmoid for one label, or the softmax.
 */
function resolveActivation(hf: HfConfig, numLabels: number, context: Context): ClassifierActivation {
  const name = hf.sentence_transformers?.activation_fn ?? hf.sbert_ce_default_activation_function
  if (numLabels === 1 && name !== undefined) return activationOf(name, context)
  switch (hf.problem_type) {
    case 'regression':
      return 'none'
    case 'multi_label_classification':
      return 'sigmoid'
    case 'single_label_classification':
    case undefined:
      return numLabels === 1 ? 'sigmoid' : 'softmax'
    default:
      return context.fail(
        'problem_type',
        `${JSON.stringify(hf.problem_type)} is not known; known are regression, single_label_classification and multi_label_classification`,
      )
  }
}

/** A class of torch, by its path. */
function activationOf(name: string, { unsupported }: Context): ClassifierActivation {
  switch (/^torch\.nn\.(?:modules\.\w+\.)?(\w+)$/.exec(name)?.[1]) {
    case 'Identity':
      return 'none'
    case 'Sigmoid':
      return 'sigmoid'
    default:
      return unsupported(
        `the activation ${JSON.stringify(name)} of a cross-encoder is not supported; known are torch.nn.modules.linear.Identity and torch.nn.modules.activation.Sigmoid.`,
      )
  }
}
