"""What flows during a call: items to the client, and elements of arguments from it.

=================  ===========================================================================
``reply_sink``     the protocol of what receives the replies of one call
``stream``         the ordinary path of a stream: its items, in order, and its abort
``admission``      tells the running call that the engine has accepted its request
``fast_path``      encodes and sends an output at once, without waking the request's task
``token_tap``      takes tokens from vLLM's request states, so that no output is made for them
``known_sources``  the sources of vLLM that ``token_tap`` relies on, by their checksums
``input_stream``   an argument that is a stream: asks the client for one element at a time
=================  ===========================================================================
"""
