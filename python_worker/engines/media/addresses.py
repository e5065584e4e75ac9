"""Where an image, a video or audio is, and whether the engine may read it there."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from python_worker.engines.media import limits, vllm_parts
from python_worker.engines.media.sources import Source
from python_worker.exceptions import InvalidArgument, Unsupported


def located(config: Any, source: Source) -> Source:
    """A source of bytes or of vLLM's URL, after a look at whether the engine may read it.

    Args:
        config: The ``model_config`` of the engine.
        source: A path or a URL.

    Raises:
        Unsupported: The engine reads no files, or nothing from a network.
        InvalidArgument: It may not read this one, or there is none.
        LimitExceeded: It is too large.
    """
    if source.form == "path":
        return _file(config, source, Path(source.value))
    scheme = urlsplit(source.value).scheme.lower()
    if scheme in ("http", "https"):
        return _remote(config, source)
    if scheme == "file":
        parts = urlsplit(source.value)
        return _file(config, source, Path(url2pathname(parts.netloc + parts.path)))
    if scheme == "data":
        return _inline(source)
    raise InvalidArgument(
        f"{source.path}: a URL is data:, http(s): or file:, got "
        f"{source.value[:40]!r}. A file is given as 'path', its content as 'data'",
        parameter=source.path,
    )


def _file(config: Any, source: Source, path: Path) -> Source:
    allowed = config.allowed_local_media_path
    if not allowed:
        raise Unsupported(
            f"{source.path}: this engine reads no files: build it with "
            "allowed_local_media_path, the folder that it may read, or send the content as "
            "'data'",
            parameter=source.path,
        )
    folder = Path(allowed).resolve()
    # A relative path is one in the folder.
    found = (folder / path).resolve()
    if folder not in found.parents:
        raise InvalidArgument(
            f"{source.path}: {path} is not in {folder}, the only folder that this engine may "
            "read (allowed_local_media_path)",
            parameter=source.path,
        )
    if not found.is_file():
        raise InvalidArgument(
            f"{source.path}: {found} is no file on the worker's machine", parameter=source.path
        )
    settings = vllm_parts.limits()
    limits.check_bytes(source, found.stat().st_size, settings.VLLM_MAX_MEDIA_DOWNLOAD_SIZE_MB)
    return Source(source.kind, "data", found.read_bytes(), source.path)


def _remote(config: Any, source: Source) -> Source:
    domains = config.allowed_media_domains
    if not domains:
        raise Unsupported(
            f"{source.path}: this engine loads nothing from a network: build it with "
            "allowed_media_domains, a list of host names, or send the content as 'data'",
            parameter=source.path,
        )
    host = urlsplit(source.value).hostname
    if host not in domains:
        raise InvalidArgument(
            f"{source.path}: {host} is not among {', '.join(domains)}, the only hosts that "
            "this engine may load from (allowed_media_domains)",
            parameter=source.path,
        )
    return source


def _inline(source: Source) -> Source:
    """A ``data:`` URL; as vLLM has it, only in base64. A video's is looked at first."""
    head, comma, encoded = source.value.partition(",")
    kind, _, encoding = head.partition(":")[2].rpartition(";")
    if not comma or encoding.lower() != "base64":
        raise InvalidArgument(
            f"{source.path}: a data URL is data:<type>;base64,<content>, got {source.value[:40]!r}",
            parameter=source.path,
        )
    if source.kind == "video" and kind.partition(";")[0].lower() == "video/jpeg":
        return source  # vLLM's own: frames as JPEGs with commas between them
    data = base64.b64decode(encoded, validate=True)
    return Source(source.kind, "data", data, source.path)


def is_remote(source: Source) -> bool:
    """Whether reading a source waits for a network."""
    return source.form == "url" and source.value[:4].lower() == "http"
