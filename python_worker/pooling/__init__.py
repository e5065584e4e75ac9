"""Pooling on ``AsyncLLM``: whole batches of embeddings, classes and scores in one call.

The prompts and the order of steps are vLLM's own: its pooling io-processors make requests of inputs
and answers of outputs. Between the two, the requests run on the engine's own guarded ``encode``.
In reading order:

=================  =================================================================================
``poolings``       ``embed``, ``classify``, ``score`` and ``encode_batch``: what is served
``tasks``          which task an engine can do, and what to change where it cannot
``inputs``         checks what a client gives, input by input, and adds the common parameters
``renderers``      from inputs to requests, by vLLM's io-processors or without them
``batches``        runs the requests of one call at the same time; ends them all where one fails
``scores``         similarities of embeddings, for engines that have no io-processors
``tensors``        many rows as one tensor
``answers``        what a client receives
``vllm_parts``     what is called of vLLM
=================  =================================================================================
"""
