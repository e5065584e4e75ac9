"""Reads the installed vLLM: what the manifest is made of."""
