"""Inference providers: one interface to a server, a file, a library or an engine of this worker.

Each provider generates a text for a prompt, and loads adapters by an id. Read in this order:

=======================  ======================================================================
``results``              what a generation gives
``provider``             the interface, and the checks that all providers share
``selection``            which provider is meant: arguments, then variables of the environment
``factory``              makes providers and keeps them by what they were made from
``http_client``          the HTTP client, and what its errors mean; imports ``httpx``
``chat_server``          what providers of a chat server share
``vllm_server``          a server of vLLM's, with its runtime adapters
``ollama``               a server of Ollama's, or another that speaks its ``/v1``
``llama_cpp``            a GGUF file, in a process of its own: ``llama_cpp_process`` starts that
                         process, and ``llama_cpp_child`` is what runs in it; imports ``xllamacpp``,
                         or ``llama_cpp`` with the server of ``llama_cpp_python``
``transformers_local``   a model of Transformers with adapters of PEFT, in a thread of its own:
                         ``transformers_model`` is what runs in that thread; imports both
``dtypes``               which dtype fits a device's memory
``async_llm``            an engine of this worker
``served``               the rows of ``surface``
=======================  ======================================================================
"""
