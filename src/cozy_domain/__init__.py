"""The engine as a pure library: values, rules, use cases and the ports they need.

From the inside out: `ids`, `clock`, `errors`; `messages`, `audio`; `models`, `text`; then what a conversation is made of
(`persona`, `memory`, `knowledge`, `profile`, `audit`, `access`, `jobs`), what acts on it (`accounts`, `tools`,
`sessions`, `speech`, `routing`, `plugins`), what gathers and learns (`context`, `learning`), and on top the two ways to
talk: `chat`, whose `pipeline` is the only chat path, and `voice`. Nothing here does I/O, reads a clock or draws a random
number except through a port; only the standard library and `msgspec` are imported. Import from the module that defines a
name: this package re-exports nothing.
"""
