"""Sets the machine up: Elixir, cowlib and the Python environment. Needs nothing but Python."""
