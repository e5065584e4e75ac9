"""The step ``cowlib``: from Hex where it answers, otherwise out of a package of Debian's."""

from __future__ import annotations

import glob
import os
import re
import shutil
import tempfile
from pathlib import Path

from python_worker.install import environment
from python_worker.install.progress import Progress, SetupError, run
from python_worker.install.steps import Options, apt


def find_cowlib(options: Options) -> str | None:
    """Looks for cowlib's compiled modules: the unpacked ones, then the ones Hex brought."""
    for folder in ("vendor/cowlib/ebin", "deps/cowlib/ebin"):
        app = options.root / folder / "cowlib.app"
        if app.is_file():
            version = re.search(r'\{vsn,\s*"([^"]+)"', app.read_text(encoding="utf-8"))
            return f"cowlib {version[1] if version else '?'} in {folder}"
    if (options.root / "deps/cowlib").is_dir():  # fetched, not yet compiled
        return "cowlib from Hex in deps/cowlib"
    return None


def make_cowlib(options: Options, progress: Progress) -> None:
    """Gets cowlib from Hex where Hex is installed and answers, else from Debian's RabbitMQ.

    Debian builds cowlib 2 only as a part of its rabbitmq-server package (`erlang-cowlib` is 1.3,
    which knows no HTTP/2 state machine). The package is downloaded and unpacked, not installed.
    """
    if _hex_is_installed():
        progress.say("mix deps.get")
        try:
            log = environment.cache_dir() / "setup-cowlib.log"
            run(["mix", "deps.get"], log=log, progress=progress, cwd=options.root)
            return
        except SetupError:
            progress.say("Hex does not answer; trying the operating system's build")
    cached = environment.cache_dir() / "cowlib"
    if not (cached / "ebin" / "cowlib.app").is_file():
        _unpack_cowlib(cached, progress)
    _copy_whole(cached, options.root / "vendor" / "cowlib")


def _hex_is_installed() -> bool:
    home = os.environ.get("MIX_HOME") or os.path.expanduser("~/.mix")
    archives = os.environ.get("MIX_ARCHIVES") or f"{home}/archives"
    return any(
        glob.glob(pattern) for pattern in (f"{archives}/hex-*", f"{home}/elixir/*/archives/hex-*")
    )


def _unpack_cowlib(target: Path, progress: Progress) -> None:
    advice = "install Hex (`mix local.hex`) and run `mix deps.get`"
    if shutil.which("apt-get") is None:
        raise SetupError("cowlib is missing, and there is neither Hex nor apt-get", advice=advice)
    log = environment.cache_dir() / "setup-cowlib.log"
    # As root, apt downloads as the user _apt, who may not write here, and warns about it.
    download = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "rabbitmq-server"]
    with tempfile.TemporaryDirectory(prefix="vllm_bridge-cowlib-") as name:
        folder = Path(name)
        progress.say("downloading Debian's build of cowlib (in rabbitmq-server, 15 MB)")
        try:
            run(download, log=log, progress=progress, cwd=folder)
        except SetupError:  # no package lists yet, or old ones
            apt(["update"], progress, advice=advice)
            run(download, log=log, progress=progress, cwd=folder, advice=advice)
        package = next(folder.glob("rabbitmq-server_*.deb"))
        run(["dpkg", "-x", str(package), name], log=log, progress=progress, advice=advice)
        found = sorted(folder.glob("usr/lib/rabbitmq/lib/*/plugins/cowlib-*/ebin"))
        if not found:
            raise SetupError(f"{package.name} holds no unpacked cowlib", advice=advice)
        _copy_whole(found[-1].parent, target)


def _copy_whole(source: Path, target: Path) -> None:
    """Copies `source/ebin` so that `target` appears complete or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    temporary = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.copytree(source / "ebin", temporary / "ebin")
    temporary.replace(target)
