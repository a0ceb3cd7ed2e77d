"""Tools that the server runs for a model.

``tool.py`` ToolSpec, Effect, ToolResult · ``policy.py`` who may use which (pure) · ``invoke.py`` calls: arguments,
deadline, result, audit · ``builtin.py`` calculator and clock (pure) · ``arithmetic.py`` what the calculator knows (pure) ·
``ports.py`` ToolBox, ArgumentCheck.
"""
