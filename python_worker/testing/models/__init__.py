"""Tiny models, made on disk."""
