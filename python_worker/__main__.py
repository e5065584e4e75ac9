"""The entry: ``python -m python_worker --listen unix:/path/to/socket``."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys

LOG_FORMAT = "%(levelname)s %(name)s: %(message)s"


def main() -> int:
    """Run the worker.

    Returns:
        The exit status: 0 after a clean stop, 2 for settings that cannot be.
    """
    import uvloop

    from python_worker import lifeline, server, settings, tensors

    try:
        known = settings.parse(sys.argv[1:])
        ready = server.take_stdout()
        os.umask(0o077)
        lifeline.lead_process_group()
        tensors.keep_freed_memory(settings.MAX_MESSAGE_BYTES)
        logging.basicConfig(level=known.log_level, format=LOG_FORMAT, stream=sys.stderr)

        async def serve() -> None:
            await server.Server(known).run(ready)

        uvloop.run(serve())
    except settings.SettingsError as error:
        print(f"python_worker: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    # multiprocessing runs this module's spec again in every child, and for a
    # package's __main__ it runs nothing: give it the module meant for children.
    sys.modules["__main__"].__spec__ = importlib.util.find_spec("python_worker.child")
    status = main()
    logging.shutdown()
    # vLLM's destructors and threads have nothing left to do: the engines are
    # shut down. Without this they print tracebacks about a half-dead interpreter.
    os._exit(status)
