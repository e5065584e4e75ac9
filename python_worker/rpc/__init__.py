"""Clients: their connections, sessions and calls."""
