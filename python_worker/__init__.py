"""The worker: one process that holds vLLM engines and serves them over gRPC.

Run it with ``python -m python_worker --listen unix:/path/to/socket``. Read the
package in the order in which a call travels through it:

====================  =========================================================
``__main__``          the entry: reads the settings, runs the server
``settings``          the command line, as one frozen dataclass
``server``            start and stop of the process, one numbered sequence each;
                      ``addresses``: what it listens at
``health``            what grpc.health says of the worker and of its engines
``lifeline``          stdin, signals and process group: nothing outlives us;
                      ``belongings``: nor do its files; ``scheduling``: the
                      client has the CPU first
``child``             what vLLM's child processes run first; ``mend``: what
                      vLLM gets wrong in them on a CPU
``door``              where clients come in: those that want a session, and others
``relay``             between those others and gRPC's server: bytes, both ways
``connection``        a client that wants a session, on the loop's own transport;
                      ``http2`` and ``grpc_wire`` are what its bytes mean
                      (``http2_frames``, ``outflow``), ``large`` reads
                      arguments of many megabytes
``service``           the gRPC methods for all others: Session, Call, Stream
``clients``           those that have a session: greeted, told, left
``session``           one client: its calls, their replies, gathered per turn
``call``              one call from its start to its last reply, with deadline;
                      ``limits``: how many there may be at once
``dispatch``          from a request to a method, from its result to replies
``members``           which members of an object a call may name
``desk``              the class Worker: status, metrics, release
``spellings``         names of earlier vLLM versions, translated
``gate``              arguments checked before an engine sees them
``annotations``       an annotation as a check: the rules of the gate; its parts
                      are ``classes``, ``scalars`` and ``parameters`` (what
                      annotations do not say), ``hints`` reads them, ``refusals``
                      says no
``inputs``            an argument that is a stream: elements asked for one by one
``watch``             whether engines live, ``progress`` whether they move,
                      ``demise`` how one ended
``registry``          references: which object, which holder, which incarnation
``frames``            replies as bytes, and a frame as their join
``stream``            items are sent as the engine makes them; cancelled means aborted;
                      ``shortcut``: straight from where the engine puts them,
                      ``request_states``: and where it need not make them
``collector``         the outputs of ``add_request``, as a reference
``results``           what methods return, as documented
``engine``            builds engines; imports vLLM at the first
``configs``           engine configurations, and classes by import path
``guard``             vLLM's AsyncLLM, kept from what would end it. Its parts:
                      ``prompts`` and ``reasoning`` (what the model decides of a
                      request), ``continuation`` (streamed prompts), ``lora``
                      and ``lora_use`` (adapters, and who uses them),
                      ``weights`` and ``weight_updates``, ``worker_methods``
                      (collective_rpc), ``extension``, ``logits_processors``
``kept``              calls of EngineCore that outlive their callers
``metrics``           what vLLM counts of each engine
``outputs``           stream items as patches of the item before; ``output_patch``
                      says what those are, ``metrics_patch`` is their last part
``codec``             values to MessagePack and back: the table of values; its
                      parts are ``records``, ``reducers``, ``tensors`` and
                      ``value_paths``
``failures``          exceptions to failures: the table of kinds
``generated``         protobuf code and the manifest of vLLM's surface
``testing``           tiny models and a fake engine, for tests and for users
``versions``          which vLLM is installed, without importing it
``introspect``        the installed vLLM as the manifest
``gen``               the manifest, ``gen/overlay`` and ``proto/`` as code of both
                      languages; ``gen.drift`` compares vLLM versions
``install``           sets up the machine; needs nothing but Python; with
                      ``install_environment`` and ``install_progress``
====================  =========================================================

Imports point downwards in this table. vLLM is imported when the first engine
is asked for, so that health answers within a second and unit tests need none.
"""

__version__ = "0.1.0"

PROTOCOL_VERSION = 1
"""Both sides must have the same; it changes when ``proto/`` changes meaning."""
