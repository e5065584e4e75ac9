"""The wire contract of proto/, as Python."""
