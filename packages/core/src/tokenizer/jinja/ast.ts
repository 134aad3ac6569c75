interface At {
  readonly line: number
}

export type BinaryOperator = '+' | '-' | '*' | '/' | '//' | '%' | '**'
export type CompareOperator = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in'

export interface Argument {
  readonly kind: 'positional' | 'named' | 'list' | 'dict'
  /** Of a named one; empty otherwise. */
  readonly name: string
  readonly value: Expression
}

export type Expression = At &
  (
    | { readonly type: 'constant'; readonly value: string | number | bigint | boolean | null }
    | { readonly type: 'float'; readonly value: number }
    | { readonly type: 'name'; readonly name: string }
    | { readonly type: 'list' | 'tuple' | 'concat'; readonly items: readonly Expression[] }
    | { readonly type: 'dict'; readonly entries: readonly (readonly [Expression, Expression])[] }
    | { readonly type: 'attribute'; readonly object: Expression; readonly name: string }
    | { readonly type: 'item'; readonly object: Expression; readonly key: Expression }
    | {
        readonly type: 'slice'
        readonly start: Expression | null
        readonly stop: Expression | null
        readonly step: Expression | null
      }
    | { readonly type: 'call'; readonly callee: Expression; readonly args: readonly Argument[] }
    /** Without a target inside `{% filter %}` and `{% set x | f %}`. */
    | {
        readonly type: 'filter'
        readonly target: Expression | null
        readonly name: string
        readonly args: readonly Argument[]
      }
    | {
        readonly type: 'test'
        readonly target: Expression
        readonly name: string
        readonly args: readonly Argument[]
      }
    | { readonly type: 'negate' | 'plus' | 'not'; readonly operand: Expression }
    | { readonly type: 'and' | 'or'; readonly left: Expression; readonly right: Expression }
    | {
        readonly type: 'binary'
        readonly operator: BinaryOperator
        readonly left: Expression
        readonly right: Expression
      }
    | {
        readonly type: 'compare'
        readonly first: Expression
        readonly rest: readonly (readonly [CompareOperator, Expression])[]
      }
    | {
        readonly type: 'condition'
        readonly test: Expression
        readonly value: Expression
        readonly otherwise: Expression | null
      }
  )

export type FilterExpression = Extract<Expression, { type: 'filter' }>

/** What `set` and `for` write to. */
export type Target =
  | { readonly type: 'name'; readonly name: string }
  | { readonly type: 'member'; readonly object: string; readonly name: string }
  | { readonly type: 'tuple'; readonly items: readonly Target[] }

export interface Parameter {
  readonly name: string
  readonly defaultValue: Expression | null
}

/** The body of a macro, or what `{% call %}` hands over as `caller`. */
export interface MacroBody {
  readonly name: string
  readonly params: readonly Parameter[]
  readonly body: readonly Statement[]
  /** Which of `caller`, `varargs` and `kwargs` the body names. */
  readonly uses: ReadonlySet<string>
}

export type ForStatement = Extract<Statement, { type: 'for' }>

export type Statement = At &
  (
    | { readonly type: 'text'; readonly text: string }
    | { readonly type: 'output'; readonly value: Expression }
    | { readonly type: 'set'; readonly target: Target; readonly value: Expression }
    | {
        readonly type: 'setBlock'
        readonly target: Target
        readonly filter: FilterExpression | null
        readonly body: readonly Statement[]
      }
    | {
        readonly type: 'if'
        readonly branches: readonly { readonly test: Expression; readonly body: readonly Statement[] }[]
        readonly otherwise: readonly Statement[]
      }
    | {
        readonly type: 'for'
        readonly target: Target
        readonly iterable: Expression
        readonly test: Expression | null
        readonly isRecursive: boolean
        readonly body: readonly Statement[]
        readonly otherwise: readonly Statement[]
      }
    | { readonly type: 'macro'; readonly macro: MacroBody }
    | { readonly type: 'callBlock'; readonly call: Expression; readonly caller: MacroBody }
    | { readonly type: 'filterBlock'; readonly filter: FilterExpression; readonly body: readonly Statement[] }
    | {
        readonly type: 'with'
        readonly bindings: readonly (readonly [Target, Expression])[]
        readonly body: readonly Statement[]
      }
    | {
        readonly type: 'block'
        readonly name: string
        readonly isScoped: boolean
        readonly body: readonly Statement[]
      }
    | { readonly type: 'autoescape'; readonly isOn: Expression; readonly body: readonly Statement[] }
    /** `{% generation %}`: what the assistant wrote, which only training needs to know. */
    | { readonly type: 'scope'; readonly body: readonly Statement[] }
    | { readonly type: 'break' | 'continue' }
    /** Tags that need other templates, which there are none of. */
    | { readonly type: 'unsupported'; readonly tag: string }
  )

export type Template = readonly Statement[]
