"""What tests need and nothing else does: tiny models, and an engine without vLLM.

===================== =========================================================================
``fake_engine/``      ``FakeAsyncLLM``, which the test scripts. ``engine`` generates, ``controls``
                      has the test's methods, ``members`` and ``utilities`` vLLM's other methods;
                      ``core``, ``requests``, ``streaming`` and ``script`` make the tokens;
                      ``plan`` says how the engines of a worker begin
``fake_vllm/``        vLLM's classes as far as the fake engine takes or returns them: ``types``,
                      ``fields``, ``configs``, ``errors``, ``tokenizer``; ``values`` and ``array``
                      are what a test has it return
``models/``           model directories for real vLLM on a CPU: ``tiny_model`` (a command as well),
                      ``scripted_model`` with known greedy output, ``adapters`` (LoRA), and
                      ``model_files``, which writes them
``logits_processor``  a logits processor that vLLM loads by its name
``worker_extension``  a worker extension that vLLM loads by its name
===================== =========================================================================

Only ``logits_processor`` imports vLLM, and only tests import from here.
"""
