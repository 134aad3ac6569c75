#!/usr/bin/env node
// Plain JavaScript that an old Node can parse, so that it gets to say what is missing.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const [major, minor] = process.versions.node.split('.').map(Number)
const entry = new URL('../dist/cli.js', import.meta.url)

if (major < 22 || (major === 22 && minor < 12)) {
  console.error(`octavo needs Node 22.12 or newer; this is Node ${process.versions.node} (${process.execPath}).`)
  process.exitCode = 1
} else if (!existsSync(entry)) {
  console.error(`${fileURLToPath(entry)} is missing: build it first, with npm start or npx turbo run build.`)
  process.exitCode = 1
} else {
  await import(entry.href)
}
