"""Chat on ``AsyncLLM``: vLLM's own renderer and parsers around ``generate``, without HTTP.

The request has the fields of OpenAI's, as vLLM's server takes them. In reading order:

=================  =================================================================================
``completions``    ``chat`` and ``stream_chat``: what is served, and the way from request to answer
``requests``       from a map of fields to vLLM's request; refuses what vLLM would pass over
``templates``      the renderer of an engine: its chat template, its tool and reasoning parsers
``parsing``        from an output of the engine to content, reasoning and tool calls
``answers``        what a client receives
``vllm_parts``     what is called of vLLM
=================  =================================================================================
"""
