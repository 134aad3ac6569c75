export { createApp } from './app.ts'
export type { AppOptions } from './app.ts'
export { checkAddress, listen } from './listen.ts'
export type { ListenOptions, RunningServer } from './listen.ts'
