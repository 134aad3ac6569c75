import { getGradient } from '@tensorflow/tfjs-core'
import { BackendUnavailableError } from '../errors.ts'

/**
 * Registers the gradients of tfjs's standard ops, which `@tensorflow/tfjs-core` by itself does not do under Node: its
 * gradient files are ES modules that import each other without file extensions. For training; inference needs none.
 * Does nothing where gradients exist already (as with `@tensorflow/tfjs`).
 *
 * @throws BackendUnavailableError before Node 22.15, which cannot do it.
 */
export async function registerGradients(): Promise<void> {
  if (getGradient('BatchMatMul') !== undefined) return
  // Imported here: where it lacks, everything else still works.
  const nodeModule = await import('node:module')
  if (!('registerHooks' in nodeModule)) {
    throw new BackendUnavailableError(
      `Gradients of tensor operations need Node 22.15 or newer; this is ${process.versions.node}. Update Node, or import @tensorflow/tfjs first.`,
    )
  }
  const hooks = nodeModule.registerHooks({
    resolve(specifier, context, nextResolve) {
      const isInside = context.parentURL?.includes('/@tensorflow/tfjs-core/dist/') === true
      const isBare = specifier.startsWith('.') && !specifier.endsWith('.js')
      return nextResolve(isInside && isBare ? `${specifier}.js` : specifier, context)
    },
  })
  try {
    await import('@tensorflow/tfjs-core/dist/register_all_gradients.js')
  } finally {
    hooks.deregister()
  }
}
