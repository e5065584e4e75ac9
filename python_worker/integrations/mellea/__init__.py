"""Mellea on an engine of this worker: the library itself, with a backend class of our own.

Components, templates, requirements, sampling and the parsing of tool calls are mellea's. The
backend renders a chat with the engine's tokenizer and generates with the engine's own guarded
``generate``, so that everything that holds for it holds here. Read in this order:

======================  ==========================================================================
``library``             imports mellea, with its log in the worker's
``options``             mellea's rules for maps of options
``sampling``            one map of options: which of them are the engine's and which a request's
``formats``             a JSON schema, as mellea takes it
``generation``          one request of the engine, whose outputs feed a thunk
``outputs``             the outputs of a request, also those that a client has received
``requests``            the requests that merged options ask for, one or many at once
``made_texts``          thunks, made by a request or not, and what is told of them
``hooks``               functions of the client that are called around a generation
``prompts``             from a context to the prompt of a request
``local_backend``       the backend class
``templates``           what of Jinja a client may write
``template_formatter``  mellea's formatter, which parses each template once
``fields``              the fields of what a client sends
``images``              the images of messages
``tools``               the tools that the model is offered, and its calls of them
``requirements``        what a text has to meet, and how it is made again until it does
``components``          from what a client sends to components and contexts
``thunks``              what a client holds of a text that is being made
``backends``            what a client holds of a backend
``questions``           what the worker asks its client while a call runs
``sessions``            what a client holds of a session: instruct, chat, validate
``formatters``          what a client holds of a formatter
``tool_arguments``      the arguments of a tool call, and JSON, without a backend
``compile_cache``       removes what torch has compiled, where it is broken
``served``              the rows of ``surface``
======================  ==========================================================================

``local_backend``, ``prompts``, ``components``, ``images``, ``requirements``, ``templates``,
``template_formatter``, ``requests``, ``made_texts`` and ``tools`` need mellea, or Jinja, when they
are imported. The others import them when they are first used.
"""
