"""Images, videos and audio: from what a client sends to what vLLM takes.

vLLM's prompts hold decoded images and arrays of samples, which a client cannot send. It sends
files, bytes, URLs and tensors, and these are read here with vLLM's own loaders, in threads. In
reading order:

=============  =====================================================================================
``sources``    what a client may write for an image, a video or audio
``loading``    reads those of a request, in threads, and says what an error is about
``addresses``  where one is, and whether the engine may read it there
``arrays``     tensors, frames and decoded audio, as vLLM cannot misread them
``handed``     what was read for a chat, under names that stand for URLs
``limits``     what would take the memory of the machine, or is no image
``names``      names that clients give to images
``prompts``    the images of a prompt: ``multi_modal_data``
``messages``   the images of a chat: parts of messages, which vLLM's renderer gets by names
``vllm_parts`` what is called of vLLM
=============  =====================================================================================
"""
