import { loadTensorflow } from './libtensorflow/load-tensorflow.ts'
import type { TfjsBinding } from './libtensorflow/tfjs-binding.ts'

const loaded = loadTensorflow()

/** Why tests on TensorFlow are skipped, or null. */
export const skipReason = 'reason' in loaded ? loaded.reason : null

/** The binding under the backend, whose counter of handles shows leaks; null where tests are skipped. */
export const testedBinding: TfjsBinding | null = 'reason' in loaded ? null : loaded.binding
