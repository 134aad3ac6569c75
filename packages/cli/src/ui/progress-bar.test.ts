import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { ProgressBar } from './progress-bar.ts'

function fakeStream(isTTY: boolean): { stream: NodeJS.WriteStream; text: () => string } {
  const chunks: Buffer[] = []
  const through = new PassThrough()
  through.on('data', (chunk: Buffer) => chunks.push(chunk))
  const stream = Object.assign(through, { isTTY, columns: 80 })
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => Buffer.concat(chunks).toString() }
}

describe('ProgressBar', () => {
  it('writes one line per quarter where there is no terminal', () => {
    const { stream, text } = fakeStream(false)
    const bar = new ProgressBar(stream)
    for (let i = 0; i <= 1000; i++) bar.update('loading', i * 1024, 1000 * 1024)
    expect(text().trim().split('\n')).toHaveLength(4)
    expect(text()).toContain('loading 100% 1000.0 KiB of 1000.0 KiB')
    expect(text()).not.toContain('\r')
  })

  it('redraws one line in a terminal and ends it once', () => {
    const { stream, text } = fakeStream(true)
    const bar = new ProgressBar(stream)
    bar.update('loading', 10, 10)
    bar.end()
    bar.end()
    expect(text()).toContain(`[${'#'.repeat(24)}] 100% 10 B of 10 B`)
    expect(text().split('\n')).toHaveLength(2)
  })
})
