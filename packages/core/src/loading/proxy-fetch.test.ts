import { createServer, type Server } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { HubError } from '../errors.ts'
import { createFetch } from './proxy-fetch.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

async function listen(server: Server): Promise<string> {
  servers.push(server)
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}` // a TCP server's address is never a string
}

/** A proxy that tunnels, and what it was asked for. */
async function startProxy(): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = []
  const proxy = createServer()
  proxy.on('connect', (request, client) => {
    asked.push(request.url ?? '')
    const [host, port] = (request.url ?? '').split(':')
    const upstream = connect(Number(port), host)
    client.write('HTTP/1.1 200 Connection established\r\n\r\n')
    upstream.pipe(client).pipe(upstream)
    upstream.on('error', () => client.destroy())
    client.on('error', () => upstream.destroy())
  })
  return { url: await listen(proxy), asked }
}

describe('createFetch', () => {
  it('is plain fetch without a proxy', async () => {
    expect(await createFetch({ httpProxy: null, httpsProxy: null, noProxy: null })).toBe(fetch)
  })

  it('goes through the proxy, but for the hosts left out', async () => {
    const target = await listen(createServer((request, response) => void response.end(request.headers['x-word'])))
    const { url: httpProxy, asked } = await startProxy()
    const through = await createFetch({ httpProxy, httpsProxy: null, noProxy: null })
    const answer = await through(target, { headers: new Headers({ 'x-word': 'hello' }) })
    expect(await answer.text()).toBe('hello')
    expect(asked).toEqual([new URL(target).host])
    const direct = await createFetch({ httpProxy, httpsProxy: null, noProxy: '127.0.0.1' })
    expect((await direct(target)).ok).toBe(true)
    expect(asked).toHaveLength(1)
  })

  it('refuses what is no http address, without its password', async () => {
    const refused = createFetch({ httpProxy: null, httpsProxy: 'socks5://me:secret@proxy:1080', noProxy: null })
    await expect(refused).rejects.toThrow(HubError)
    await expect(refused).rejects.not.toThrow(/secret/)
  })
})
