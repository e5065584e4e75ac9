"""LLaMA-Factory's inference engine on the engines of this worker: its own classes, hosted.

LLaMA-Factory's ``VllmEngine`` does what it always does, from its arguments to a request of vLLM's:
templates, tools, media, sampling parameters. Where it would build and ask an engine of its own, the
worker takes the request and asks one of its guarded engines. Read in this order:

================  =============================================================================
``hosting``       the only importer of ``llamafactory``, and all that is changed in it
``arguments``     the four maps of arguments, checked and read by LLaMA-Factory
``options``       what a caller may set for one request
``media``         images, videos and audio, as LLaMA-Factory takes them
``requests``      a request, made in a thread by LLaMA-Factory's engine
``vllm_engine``   ``VllmEngine`` and ``ChatModel``, as clients reach them
``datasets``      a dataset, one answer for each of its examples
``pictures``      regularized media as values that can be sent
``factory``       what can be asked without an object: engine arguments, templates, tool calls
``served``        the rows of ``surface``
================  =============================================================================
"""
