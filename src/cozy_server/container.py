"""Composition: the only module that names adapters."""
