"""A node: cores of an engine whose head is on another host.

Run it with ``python -m python_worker.node MODEL --head HOST:PORT``. The head is a worker that
builds an engine with data parallelism, or with tensor parallelism over several hosts. The node
waits for it, runs its cores, and waits again when the head has gone, until it is told to stop.
``elixir/guides/several_hosts.md`` has the whole picture. In reading order:

==================  ==============================================================================
``__main__``        the entry: reads the options, runs the node, leaves nothing behind
``command_line``    the options, and what they make: ``NodeSettings``
``engine_options``  the arguments of the engine, from a file and from the command line
``rounds``          from one head to the next
``head``            waits for a head, and notices its end
``cores``           what runs for a head, with vLLM's classes
==================  ==============================================================================
"""
