"""The generators: everything in a folder named `generated/` is made here.

    python -m python_worker.gen            writes what has changed
    python -m python_worker.gen --check    compares and shows the difference

In reading order:

    __main__.py         the command line: which part, write or check
    files.py            a set of files that is written, or compared byte for byte
    protobuf.py         proto/ -> the worker's protobuf and gRPC code
    elixir_protobuf.py  proto/ -> elixir/lib/vllm/generated/proto.ex
    manifest.py         the installed vLLM -> python_worker/generated/manifest.json
                        (by python_worker/introspect.py, which imports vLLM)
    overlay.py          what introspection cannot know, by hand in overlay/*.toml
    hints.py            types and defaults of live classes, as text and JSON
    source.py           what only source text knows: annotations as written, field docs
    field_notes.py      what vLLM leaves unsaid about fields
    elixir_structs.py   manifest.json -> one Elixir struct module for each class
    elixir_async_llm.py manifest.json and the overlay -> Vllm.AsyncLLM, and deadlines
    elixir_functions.py a method -> a function: arguments, spec, one call
    elixir_member_docs.py the documentation of a function
    elixir_classes.py   manifest.json -> Vllm.Classes, the names both sides share
    elixir_types.py     Python annotations and defaults -> Elixir types and terms
    elixir_docs.py      vLLM's docstrings -> Markdown
    elixir_source.py    Elixir text: escaping, and `mix format`

Beside them, `python -m python_worker.gen.drift` says what another vLLM changes:

    drift.py            the command line: which two versions
    surface.py          what is compared, and its reading from a manifest
    surface_source.py   the same from source text, which is not imported
    package.py          source text in a folder or a wheel: modules, classes, imports
    surface_diff.py     added, removed, changed

A generator is a function from its input to texts; only `files.py` writes. Made
code holds no logic: what can be written once by hand is (`Vllm.Core.Wire.Protobuf` is
under every message). Nothing here runs when a worker does.
"""
