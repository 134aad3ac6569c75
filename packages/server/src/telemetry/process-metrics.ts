import { readdirSync } from 'node:fs'
import type { MetricFamily } from './engine-families.ts'

/** CPU, memory, files and the event loop of the process, under the names that clients of Prometheus have. */
export function processFamilies(): MetricFamily[] {
  const { user, system } = process.cpuUsage()
  const { rss, heapUsed, external } = process.memoryUsage()
  const openFiles = countOpenFiles()
  return [
    counter('process_cpu_seconds_total', 'CPU time of all threads.', (user + system) / 1e6),
    gauge('process_resident_memory_bytes', 'Memory, weights and KV cache included.', rss),
    gauge('process_start_time_seconds', 'Since 1970.', performance.timeOrigin / 1000),
    ...(openFiles === null ? [] : [gauge('process_open_fds', 'Open files and sockets.', openFiles)]),
    gauge('nodejs_heap_size_used_bytes', 'JavaScript heap of the main thread.', heapUsed),
    gauge('nodejs_external_memory_bytes', 'Buffers of the main thread.', external),
    counter(
      'nodejs_eventloop_active_seconds_total',
      'How long the main thread, which speaks HTTP, was busy: its rate is its utilization.',
      performance.eventLoopUtilization().active / 1000,
    ),
  ]
}

/** `null` where the system does not tell. */
function countOpenFiles(): number | null {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return null
  }
}

function gauge(name: string, help: string, value: number): MetricFamily {
  return { name, type: 'gauge', help, values: [{ labels: {}, value }] }
}

function counter(name: string, help: string, value: number): MetricFamily {
  return { name, type: 'counter', help, values: [{ labels: {}, value }] }
}
