import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

/** A temporary folder for planted programs and files, removed at the end of its scope. */
export class Planted implements Disposable {
  readonly root = mkdtempSync(path.join(os.tmpdir(), 'octavo-link-'))

  file(name: string, content = ''): string {
    const file = path.join(this.root, name)
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, content)
    return file
  }

  link(name: string, target: string): void {
    mkdirSync(path.dirname(path.join(this.root, name)), { recursive: true })
    symlinkSync(target, path.join(this.root, name))
  }

  /** A program in JavaScript, whatever its name. */
  program(name: string, code: string): string {
    const file = this.file(name, `#!${process.execPath}\n${code}\n`)
    chmodSync(file, 0o755)
    return file
  }

  /** A wheel's folder with empty libraries and headers; returns it. */
  wheel(name: string, buildInfo = ''): string {
    for (const library of ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2']) this.file(`${name}/${library}`)
    this.headers(`${name}/include`)
    this.file(`${name}/python/platform/build_info.py`, buildInfo)
    return path.join(this.root, name)
  }

  headers(include: string): void {
    for (const header of ['c/c_api.h', 'c/eager/c_api.h', 'core/platform/ctstring_internal.h'])
      this.file(`${include}/tensorflow/${header}`)
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true })
  }
}
