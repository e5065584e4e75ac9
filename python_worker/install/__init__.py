"""Set-up: installs Elixir, cowlib and the Python environment. Needs only the standard library.

``__main__`` is the command line; ``steps`` says what a step is; ``elixir`` and ``cowlib`` are
steps; ``environment`` makes the Python environment; ``locks`` has one process at a time do it;
``progress`` runs programs and shows news.
"""
