"""Images, videos and audio: from what a client sends to what vLLM takes.

vLLM's prompts hold decoded images and arrays of samples, which a client cannot send. It sends
files, bytes, URLs and tensors, and these are read here with vLLM's own loaders, in threads. In
reading order:

=============  =====================================================================================
``sources``    what a client may write for an image, a video or audio
``loading``    reads one: with which loader, within which limits, and what an error says
``limits``     what would take the memory of the machine, or is no image
``names``      names that clients give to images
``prompts``    the images of a prompt: ``multi_modal_data``
``messages``   the images of a chat: parts of messages, which vLLM's renderer gets by names
``vllm_parts`` what is called of vLLM
=============  =====================================================================================
"""
