"""The entry: ``python -m python_worker --listen unix:/path/to/socket``."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from typing import NoReturn

from python_worker.process import init_process

# gRPC reads it when it is imported; a version that does not know the name says so in its log and
# goes on. Its newer listener hands what comes from the thread that polls to one of a pool, and
# from there to the one that we hear of. Without it the first is the last: a call that has nothing
# to do takes 0.10 ms instead of 0.13, and two thirds of the worker's CPU time.
GRPC_EXPERIMENTS = "-event_engine_listener"


def main() -> NoReturn:
    """Run the worker, and end with 0 after a clean stop, with 2 for settings that cannot be."""
    # Before a library has started a thread.
    init_process.leave_process_1()
    os.environ.setdefault("GRPC_EXPERIMENTS", GRPC_EXPERIMENTS)

    import uvloop

    from python_worker import command_line, server, settings
    from python_worker.process import allocator, cpu_share, lifeline, logs

    try:
        known = command_line.parse(sys.argv[1:])
        ready = server.take_stdout()
        os.umask(0o077)
        lifeline.lead_process_group()
        cpu_share.lower_priority(known.nice)
        allocator.keep_freed_memory()
        logs.configure(known.log_level, known.log_format)

        async def serve() -> NoReturn:
            await server.Server(known).run(ready)
            # Before the loop is closed: that would give SIGTERM its own effect back, and
            # who stops us may send another, which would be the reason of our end then.
            leave(0)

        uvloop.run(serve())
    except settings.SettingsError as error:
        print(f"python_worker: {error}", file=sys.stderr)
        leave(2)


def leave(status: int) -> NoReturn:
    """End this process at once.

    VLLM's destructors and threads have nothing left to do: the engines are shut down. They would
    print tracebacks about a half-dead interpreter.
    """
    logging.shutdown()
    os._exit(status)


if __name__ == "__main__":
    # multiprocessing runs this module's spec again in every child, and for a
    # package's __main__ it runs nothing: give it the module meant for children.
    sys.modules["__main__"].__spec__ = importlib.util.find_spec("python_worker.process.child")
    main()
