// npm leaves `workspace:*` in what it publishes, and nobody could install that; pnpm writes the versions there.
if (!(process.env.npm_config_user_agent ?? '').startsWith('pnpm/')) {
  console.error('use pnpm publish: npm would leave "workspace:*" among the dependencies')
  process.exit(1)
}
