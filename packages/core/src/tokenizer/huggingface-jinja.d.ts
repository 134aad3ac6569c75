// NodeNext resolution does not follow the package's own declarations, which import each other without file extensions.
// This declares the part that is used.
declare module '@huggingface/jinja' {
  export interface RuntimeValue {
    readonly type: string
    readonly value: unknown
    __bool__(): { readonly value: boolean }
  }
  export interface SyntaxNode {
    readonly type: string
    readonly value?: string
    readonly callee?: SyntaxNode
    readonly args?: readonly SyntaxNode[]
    readonly object?: SyntaxNode
    readonly property?: SyntaxNode
    readonly computed?: boolean
  }
  export interface Token {
    readonly value: string
    readonly type: string
  }
  export class Environment {
    readonly tests: ReadonlyMap<string, (...values: RuntimeValue[]) => boolean>
    set(name: string, value: unknown): RuntimeValue
  }
  export class Interpreter {
    constructor(environment: Environment)
    run(program: SyntaxNode): RuntimeValue
    evaluate(node: SyntaxNode | undefined, environment: Environment): RuntimeValue
    protected evaluateBlock(statements: readonly SyntaxNode[], environment: Environment): RuntimeValue
    protected applyFilter(operand: RuntimeValue, filter: SyntaxNode, environment: Environment): RuntimeValue
  }
  export function tokenize(source: string, options: { lstrip_blocks: boolean; trim_blocks: boolean }): Token[]
  export function parse(tokens: readonly Token[]): SyntaxNode
}
