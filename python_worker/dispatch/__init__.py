"""From a request to a method of an object, and from its result to replies.

==================  ============================================================================
``call``            one call, from its start to its last reply: its task, deadline and end
``served_classes``  what a client may do with the objects of a class: one policy per class
``members``         which members of an object a call may name
``invocation``      a member and the checked arguments it is called with
``dispatcher``      finds, checks, carries out and replies
``values``          arguments and results as bytes, with their references
``references``      which object a client means, and how long it is kept
``call_limit``      how many calls may run at once
``engine_watch``    detects that an engine has died, hangs, or makes progress again
``worker_class``    the worker itself, as an object that clients may call
==================  ============================================================================
"""
