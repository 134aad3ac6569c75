@rem npm start says "exec node ...", so that signals reach node and not a shell; for cmd.exe this file is that word.
@%*
