/** `octavo run … | head -1`: whoever reads has enough, so there is nothing left to do, and nothing to complain about. */
export function endWhenReaderLeaves(output: NodeJS.WriteStream): void {
  output.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    // What a shell reports of a program that SIGPIPE ended.
    process.exit(128 + 13)
  })
}
