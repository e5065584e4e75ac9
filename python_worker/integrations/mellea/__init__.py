"""Mellea on an engine of this worker: the library itself, with a backend class of our own.

Components, templates, requirements, sampling and the parsing of tool calls are mellea's. The
backend renders a chat with the engine's tokenizer and generates with the engine's own guarded
``generate``, so that everything that holds for it holds here. Read in this order:

==================  ==============================================================================
``library``         imports mellea, with its log in the worker's
``options``         mellea's rules for maps of options
``sampling``        one map of options: which of them are the engine's and which a request's
``generation``      one request of the engine, whose outputs feed a thunk
``local_backend``   the backend class
``templates``       what of Jinja a client may write
``components``      from what a client sends to components, contexts, tools and requirements
``thunks``          what a client holds of a text that is being made
``backends``        what a client holds of a backend
``questions``       what the worker asks its client while a call runs: a validator is the client's
``sessions``        what a client holds of a session: instruct, chat, validate
``formatters``      what a client holds of a formatter
``served``          the rows of ``surface``
==================  ==============================================================================

``local_backend``, ``templates`` and ``components`` need mellea, or Jinja, when they are imported.
The others import them when they are first used.
"""
