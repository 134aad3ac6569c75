/**
 * docs/architecture.md, as rules: section 1 says which package may name which, section 3 which folder of core may
 * import which. A cycle anywhere is an error.
 */

/** Folders of packages/core/src by level: a file imports its own folder and lower levels. */
const coreLevels = [
  ['util', 'errors'],
  ['sampling-params', 'pooling-params', 'tensor', 'error-transfer'],
  ['config'],
  ['ops', 'sequence', 'tokenizer', 'loading'],
  ['backends', 'layers', 'kv-cache', 'sampling', 'structured-output'],
  ['scheduler', 'models', 'quantization', 'lora', 'speculative', 'chat-format'],
  ['engine'],
]

const core = '^packages/core/src'
const test = '[.](test|case)[.]ts$'

/** A folder of core, or the file of that name. */
const room = (name) => `${core}/${name}(/|[.]ts$)`

/**
 * What lower levels hand on and do not make: what a backend pack must offer, which layers and models receive as a value;
 * the parsed form of an output.
 */
const handedOn = [`${core}/backends/backend-pack[.]ts$`, `${core}/chat-format/message-delta[.]ts$`]

/** Pure types of what a request may ask for: a sampling parameter. */
const structuredOutputTypes = `${core}/structured-output/structured-output[.]ts$`

const levelRules = coreLevels.flatMap((names, level) =>
  names.map((name) => ({
    name: `core-level-${name}`,
    comment: `core/${name} is on level ${level}: it may import only its own folder and lower levels (docs/architecture.md, section 3).`,
    severity: 'error',
    from: { path: room(name), pathNot: test },
    to: {
      path: [
        `${core}/(index|testing|[a-z]+-api)[.]ts$`,
        ...coreLevels
          .slice(level)
          .flat()
          .filter((other) => other !== name)
          .map(room),
      ],
      pathNot: [...handedOn, structuredOutputTypes],
    },
  })),
)

/** Which of our packages each package may name. */
const arrows = {
  core: [],
  sdk: [],
  'backend-native': ['core'],
  parallel: ['core'],
  quant: ['core'],
  server: ['core', 'sdk'],
  cli: ['core', 'backend-native', 'parallel', 'quant', 'server', 'sdk'],
}
const packageNames = Object.keys(arrows)

const packageRules = Object.entries(arrows)
  .filter(([name]) => name !== 'cli')
  .map(([name, allowed]) => ({
    name: `package-${name}`,
    comment: `${name} may import ${allowed.length === 0 ? 'no other package of ours' : `only ${allowed.join(', ')}`} (docs/architecture.md, section 1).`,
    severity: 'error',
    from: { path: `^packages/${name}/`, pathNot: test },
    to: {
      path: packageNames
        .filter((other) => other !== name && !allowed.includes(other))
        .map((other) => `^packages/${other}/`),
    },
  }))

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'A cycle hides which file depends on which; split by noun or pass the value in.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-unresolvable',
      comment: 'The import resolves to nothing.',
      severity: 'error',
      from: { pathNot: 'tsup[.]config[.]ts$' },
      to: { couldNotResolve: true },
    },
    {
      name: 'no-undeclared-dependency',
      comment: "The package is not in this package's own package.json.",
      severity: 'error',
      from: { path: '^packages/', pathNot: [test, '[.]config[.]ts$'] },
      to: { path: 'node_modules', dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'no-dev-dependency-in-product',
      comment: 'Published code must not import a development dependency.',
      severity: 'error',
      from: { path: '^packages/[^/]+/src/', pathNot: [test, '/testing[.]ts$'] },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only', 'npm-peer'] },
    },
    {
      name: 'no-test-in-product',
      comment: 'Only tests and the testing entry import tests and shared suites.',
      severity: 'error',
      from: { path: '^packages/[^/]+/src/', pathNot: [test, '/testing[.]ts$'] },
      to: { path: test },
    },
    {
      name: 'control-side-knows-no-tensors',
      comment: 'The scheduler, the KV cache and sequences are tested with integers.',
      severity: 'error',
      from: { path: ['scheduler', 'kv-cache', 'sequence'].map(room) },
      to: { path: [...['tensor', 'ops', 'layers', 'models', 'backends'].map(room), 'node_modules/@tensorflow/'] },
    },
    {
      name: 'compute-side-knows-no-requests',
      comment: 'Ops, layers and models see arrays and AttentionMetadata; engine/input-batch.ts is the only bridge.',
      severity: 'error',
      from: { path: ['ops', 'layers', 'models', 'backends'].map(room) },
      to: { path: ['scheduler', 'sequence', 'kv-cache'].map(room) },
    },
    {
      name: 'server-sees-sdk-protocol-only',
      comment: 'The server shares the wire schemas with the client and nothing else.',
      severity: 'error',
      from: { path: '^packages/server/src/', pathNot: test },
      to: { path: '^packages/sdk/', pathNot: '^packages/sdk/(src|dist)/protocol/' },
    },
    {
      name: 'examples-use-published-names',
      comment: 'A newcomer copies examples: they import packages by name, not by path.',
      severity: 'error',
      from: { path: '^examples/' },
      to: { path: '^packages/', dependencyTypes: ['local'] },
    },
    ...packageRules,
    ...levelRules,
  ],
  options: {
    doNotFollow: { path: ['node_modules', '/dist/'] },
    exclude: {
      path: [
        '[.]generated[.]ts$',
        '^packages/core/src/backends/wasm/kernels/',
        '^bench/peers/',
        '/[.]turbo/',
        '/[.]vitest/',
      ],
    },
    tsPreCompilationDeps: true,
    combinedDependencies: false,
    tsConfig: { fileName: 'tsconfig.base.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['types', 'import', 'node', 'default'] },
  },
}
