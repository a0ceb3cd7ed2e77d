"""The `cozy` command: `__main__` is the entry point that works on the bare wheel, `app` the commands themselves."""
