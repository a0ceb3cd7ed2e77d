"""Models that write text: the port, the request it takes and the deltas it gives.

``request.py`` ModelRequest, Sampling, ToolDefinition · ``deltas.py`` what streams back · ``ports.py`` LanguageModel,
TokenCounter.
"""
