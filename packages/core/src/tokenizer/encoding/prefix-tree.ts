/** Texts by their prefixes: the children of all nodes in one hash table of flat arrays. */
export class PrefixTree {
  #nodes: Int32Array
  #units: Uint16Array
  #children: Int32Array
  #values: Int32Array
  #mask: number
  #numNodes = 1

  constructor(entries: Iterable<readonly [string, number]>) {
    this.#mask = 1023
    this.#nodes = new Int32Array(1024).fill(-1)
    this.#units = new Uint16Array(1024)
    this.#children = new Int32Array(1024)
    this.#values = new Int32Array(1024).fill(-1)
    for (const [text, value] of entries) this.#add(text, value)
  }

  static readonly root = 0

  /** The node one character further; -1 where no text goes on so. */
  child(node: number, unit: number): number {
    const at = this.#slot(node, unit)
    return this.#nodes[at] === -1 ? -1 : this.#children[at]!
  }

  /** The value of the text that ends here; -1 where none does. */
  valueAt(node: number): number {
    return this.#values[node]!
  }

  #add(text: string, value: number): void {
    let node = PrefixTree.root
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i)
      let at = this.#slot(node, unit)
      if (this.#nodes[at] === -1) {
        if (2 * this.#numNodes >= this.#nodes.length) {
          this.#grow()
          at = this.#slot(node, unit)
        }
        this.#nodes[at] = node
        this.#units[at] = unit
        this.#children[at] = this.#numNodes++
      }
      node = this.#children[at]!
    }
    this.#values[node] = value
  }

  #slot(node: number, unit: number): number {
    const hash = Math.imul(node, 0x9e3779b1) ^ Math.imul(unit, 0x85ebca6b)
    let at = (hash ^ (hash >>> 15)) & this.#mask
    while (this.#nodes[at] !== -1 && (this.#nodes[at] !== node || this.#units[at] !== unit)) at = (at + 1) & this.#mask
    return at
  }

  #grow(): void {
    const [nodes, units, children, values] = [this.#nodes, this.#units, this.#children, this.#values]
    const size = 2 * nodes.length
    this.#mask = size - 1
    this.#nodes = new Int32Array(size).fill(-1)
    this.#units = new Uint16Array(size)
    this.#children = new Int32Array(size)
    this.#values = new Int32Array(size).fill(-1)
    this.#values.set(values)
    for (let i = 0; i < nodes.length; i++) {
      if (nodes[i] === -1) continue
      const at = this.#slot(nodes[i]!, units[i]!)
      this.#nodes[at] = nodes[i]!
      this.#units[at] = units[i]!
      this.#children[at] = children[i]!
    }
  }
}
