"""What tests need and nothing else does: tiny models and an engine without vLLM.

- ``tiny_model``: model directories made on the spot, for real vLLM on a CPU (also a command).
- ``scripted_model``: the one whose greedy output is known in advance.
- ``adapters``: LoRA adapters of it, each of which says one word; and broken ones (a command too).
- ``model_files``: how all of them are written to disk.
- ``logits_processor``: ``OnlyToken``, which an engine gets by its name.
- ``fake_engine``: ``FakeAsyncLLM``, scripted by the test; started with ``--engine-class``.
- ``fake_utilities``, ``fake_controls``: its methods beside ``generate``, vLLM's and the test's.
- ``fake_core``, ``fake_requests``, ``fake_script``, ``fake_tokenizer``: how it makes tokens.
- ``fake_plan``, ``fake_array``: how engines of a worker begin; arrays where there is no numpy.
- ``fake_types``, ``fake_fields``, ``fake_errors``, ``fake_values``: what goes in and comes out.

Nothing here but ``logits_processor`` imports vLLM, and nothing outside of tests imports anything
from here.
"""
