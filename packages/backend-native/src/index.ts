/** The public names of @octavo/backend-native, listed one by one; nothing else is public. */
export { nativeBackend, nativeBackendWith } from './native-module.ts'
export { createNativePack } from './native-pack.ts'
export type { NativeOptions } from './native-pack.ts'
export { backendProvider as nativeProvider } from './native-provider.ts'
export { loadNativeAddon } from './native-addon.ts'
export type {
  ActivationFormat,
  Isa,
  LoadedAddon,
  NativeAddon,
  NativeKvCache,
  NativeMatrix,
  NativePool,
} from './native-addon.ts'
