import { addRmsNormKernel, layerNormKernel, rmsNormKernel } from '@octavo/core/backend'
import type { LayerNormAttrs, RmsNormAttrs } from '@octavo/core/backend'
import { matrixShape, nativeKernel, optionalValuesOf, valuesOf } from '../native-kernel.ts'

export const rmsNormConfig = nativeKernel<RmsNormAttrs>(rmsNormKernel, ({ inputs, attrs, backend }) => {
  const [n, features] = matrixShape(inputs.x)
  const out = backend.allocate(n * features)
  backend.pool.rmsNorm(out, valuesOf(backend, inputs.x), valuesOf(backend, inputs.weight), n, features, attrs.epsilon)
  return backend.makeOutput2d([n, features], out)
})

export const addRmsNormConfig = nativeKernel<RmsNormAttrs>(addRmsNormKernel, ({ inputs, attrs, backend }) => {
  const [n, features] = matrixShape(inputs.x)
  const [normed, sum] = [backend.allocate(n * features), backend.allocate(n * features)]
  backend.pool.addRmsNorm(
    normed,
    sum,
    valuesOf(backend, inputs.x),
    valuesOf(backend, inputs.residual),
    valuesOf(backend, inputs.weight),
    n,
    features,
    attrs.epsilon,
  )
  return [normed, sum].map((values) => backend.makeOutput2d([n, features], values))
})

export const layerNormConfig = nativeKernel<LayerNormAttrs>(layerNormKernel, ({ inputs, attrs, backend }) => {
  const [n, features] = matrixShape(inputs.x)
  const out = backend.allocate(n * features)
  backend.pool.layerNorm(
    out,
    valuesOf(backend, inputs.x),
    valuesOf(backend, inputs.weight),
    optionalValuesOf(backend, inputs.bias),
    n,
    features,
    attrs.epsilon,
  )
  return backend.makeOutput2d([n, features], out)
})
