"""The worker: one process that holds vLLM engines and serves them over gRPC.

Run it with ``python -m python_worker --listen unix:/path/to/socket``. Read the folders in the
order in which a call travels through them; the docstring of each says what its modules are.

================  ==============================================================================
``__main__``      the entry: reads the settings, runs the server
``command_line``  the options, and the settings that they make: ``settings_addresses`` checks
                  the addresses, ``settings_sources`` has what a file and the environment set
``node``          cores of an engine whose head is on another host: a command of its own
``server``        start and stop of the process, one numbered sequence each
``surface``       the one list of the classes that clients reach, with their policies
``rpc``           clients: their listeners, connections, sessions and calls
``integrations``  systems that run on the engines, each on an optional library
``chat``          chats on engines: from a request of OpenAI's fields to messages and tool calls
``pooling``       batches of embeddings, classes and scores on engines
``dispatch``      from a request to a method of an object, and from its result to replies
``engines``       builds vLLM's engines and guards them (``engines/guards``)
``offline``       builds vLLM's ``LLM``, with the guards of ``engines``
``validation``    arguments checked before an engine sees them
``streaming``     what flows during a call: items out, elements of arguments in
``failures``      exceptions to failures: the table of kinds
``core_errors``   what EngineCore says as text, read in one table
``codec``         values to MessagePack and back; its docstring is the table of values
``wire``          the bytes of a connection: HTTP/2, gRPC's messages, frames of a session
``process``       what concerns the process: signals, children, files, memory
``exceptions``    the worker's own exceptions, and the kinds of failures
``settings``      what a worker is told at its start, as one frozen dataclass
``buffers``       bytes that are passed on without a copy
``finite``        finds NaN and infinity in tensors
``generated``     protobuf code, and the manifest of vLLM's surface
----------------  ------------------------------------------------------------------------------
``gen``           makes the generated code of both languages; ``gen.drift`` compares vLLM versions
``testing``       tiny models and a fake engine, for tests and for users
``small_models``  real models out of packages, for trying the bridge and for tests
``install``       sets up the machine; needs nothing but Python
================  ==============================================================================

Imports point downwards in this table, and never in a circle; a test reads them. vLLM is imported
when the first engine is asked for, so that health answers within a second and unit tests need
none. ``engines``, ``engines/guards`` and ``process`` have an empty ``__init__``, because vLLM's
child processes import through them.
"""

__version__ = "0.1.0"

PROTOCOL_VERSION = 1
"""Both sides must have the same; it changes when ``proto/`` changes meaning."""
