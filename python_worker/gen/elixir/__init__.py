"""Writes the generated Elixir modules."""
