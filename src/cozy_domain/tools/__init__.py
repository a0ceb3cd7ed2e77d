"""Tools that the server runs for a model.

``tool.py`` ToolSpec, Effect, ToolResult · ``policy.py`` who may use which (pure) · ``invoke.py`` one call: arguments,
deadline, result · ``builtin.py`` calculator and clock (pure) · ``ports.py`` ToolBox, ArgumentCheck.
"""
