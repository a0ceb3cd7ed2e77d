"""Models that write text, and models that embed it: the ports, what they take and what they give.

``request.py`` ModelRequest, Sampling, ToolDefinition · ``deltas.py`` what streams back · ``embedding.py`` EmbeddingRequest,
Embeddings · ``ports.py`` LanguageModel, Embedder, TokenCounter.
"""
