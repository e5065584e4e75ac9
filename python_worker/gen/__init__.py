"""The generators: everything in a folder named ``generated/`` is made here.

    python -m python_worker.gen            writes what has changed
    python -m python_worker.gen --check    compares and shows the difference

===================== =========================================================================
``__main__``          the command line: which part, write or check
``files``             a set of files that is written, or compared byte for byte
``protobuf``          proto/ -> the worker's protobuf and gRPC code
``manifest``          the installed vLLM -> python_worker/generated/manifest.json
``overlay``           what introspection cannot know, written by hand in overlay/*.toml
``introspection/``    reads a live vLLM: ``introspect`` its classes, ``type_hints`` the types and
                      defaults, ``source`` what only source text says (annotations, field docs)
``elixir/``           manifest and overlay -> elixir/lib/vllm/generated/. ``engines``, ``classes``
                      and ``structs`` make a module each, ``function``, ``functions`` and
                      ``member_docs`` a function, ``protobuf`` the codec of the wire, ``types``,
                      ``docs``, ``field_notes`` and ``text`` the parts of all
``drift/``            ``python -m python_worker.gen.drift``: what another vLLM changes
===================== =========================================================================

A generator is a function from its input to texts; only ``files`` writes. Generated code holds no
logic: what can be written once by hand is (all messages use ``Vllm.Core.Wire.Protobuf``). Nothing
here runs when a worker does.
"""
