// The child process of verify-binding.ts: a library that crashes takes only this process along.
import { verifyTensorflow } from '../verify-tensorflow.ts'

try {
  process.stdout.write(`\n${JSON.stringify({ check: await verifyTensorflow() })}\n`)
} catch (error) {
  process.stdout.write(`\n${JSON.stringify({ error: error instanceof Error ? error.message : String(error) })}\n`)
}
