"""The worker: one process that holds vLLM engines and serves them over gRPC.

Run it with ``python -m python_worker --listen unix:/path/to/socket``. Read the
package in the order in which a call travels through it:

====================  =========================================================
``__main__``          the entry: reads the settings, runs the server
``settings``          the command line, as one frozen dataclass
``server``            start and stop of the process, one numbered sequence each
``lifeline``          stdin, signals and process group: nothing outlives us
``child``             what vLLM's child processes run first
``service``           the gRPC methods: Session, Call, Stream
``session``           one client: its calls, their replies, gathered per turn
``call``              one call from its start to its last reply, with deadline
``dispatch``          from a request to a method, from its result to replies
``desk``              the class Worker: status, release
``gate``              arguments checked before an engine sees them
``annotations``       an annotation as a check: the rules of the gate; with
                      ``hints`` to read them and ``refusals`` to say no
``watch``             whether engines live: calls of dead ones end
``registry``          references: which object, which holder, which incarnation
``frames``            replies as bytes, and a frame as their join
``stream``            an async generator becomes items; cancelled means aborted
``engine``            vLLM itself: the only module that imports it
``outputs``           stream items as patches of the item before
``codec``             values to MessagePack and back: the table of values; its
                      parts are ``records``, ``reducers``, ``tensors`` and
                      ``value_paths``
``failures``          exceptions to failures: the table of kinds
``generated``         protobuf code and the manifest of vLLM's surface
``testing``           tiny models and a fake engine, for tests and for users
``versions``          which vLLM is installed, without importing it
``introspect``        the installed vLLM as the manifest
``gen``               the manifest and ``proto/`` as code of both languages
``install``           sets up the machine; needs nothing but Python
====================  =========================================================

Imports point downwards in this table. vLLM is imported when the first engine
is asked for, so that health answers within a second and unit tests need none.
"""

__version__ = "0.1.0"

PROTOCOL_VERSION = 1
"""Both sides must have the same; it changes when ``proto/`` changes meaning."""
