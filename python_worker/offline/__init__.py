"""vLLM's ``LLM``: batches of prompts, run by one blocking call.

The class is vLLM's own, and so is the ``LLMEngine`` inside of it. Read in this order:

================  ==============================================================================
``builder``       imports the class, guards it, and constructs an object in a thread of its own
``llm_thread``    that thread: one call at a time, and a call that is cancelled is told to stop
``llm_guard``     what is mixed into ``LLM``: batches that end whole, ``shutdown``, limits
``engine_guard``  what is mixed into ``LLMEngine``: waits that end when EngineCore dies
``coroutines``    shows an ``LLMEngine`` as an ``AsyncLLM``, so that its guards serve here too
``progress``      vLLM's hook for progress bars, which sends progress to the client
``arguments``     the arguments that no client can send
``protocols``     what the guards use of vLLM's classes, for mypy
``vllm_parts``    what is imported from vLLM
================  ==============================================================================
"""
