"""Reads what a client sent, with vLLM's own loaders, in threads."""

from __future__ import annotations

import asyncio
import contextvars
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from python_worker.engines.media import limits, vllm_parts
from python_worker.engines.media.sources import Source
from python_worker.exceptions import BridgeError, InvalidArgument, LimitExceeded, Unsupported
from python_worker.finite import first_not_finite, is_array
from python_worker.process import large_work

HOW_TO_INSTALL: Final = "run `mix vllm.setup`, and see `mix vllm.doctor`"

# Each may decode half a gigabyte, so there are two; who waits for a network holds up no others.
_decoding: Final = ThreadPoolExecutor(2, thread_name_prefix="media")
_fetching: Final = ThreadPoolExecutor(8, thread_name_prefix="media-net")

_NAMES_ARE_THEIRS: Final = "vllm-bridge:"

_handed: dict[str, Any] = {}
"""What has been read for chats that are being rendered, by the name that stands for a URL."""


def hand(name: str, value: Any) -> str:
    """Keeps what has been read for vLLM's renderer; returns what stands for its URL."""
    url = _NAMES_ARE_THEIRS + name
    _handed[url] = value
    return url


def is_handed(url: object) -> bool:
    """Whether something is kept under this name."""
    return isinstance(url, str) and url in _handed


def take_back(urls: Sequence[str]) -> None:
    """Forgets what was kept."""
    for url in urls:
        _handed.pop(url, None)


def resolve(url: Any, media_io: Any, as_vllm: Callable[[Any], Any]) -> Any:
    """What a loader of vLLM's reads: see ``vllm_parts.has_resolver``."""
    if isinstance(url, str):
        if url.startswith(_NAMES_ARE_THEIRS):
            if url not in _handed:
                raise InvalidArgument(f"there is no image, video or audio at {url!r}")
            return _handed[url]
        return as_vllm(url)
    # A ``Source``, of this module's.
    if url.form == "data":
        check_data(url, url.value, media_io)
        return media_io.load_bytes(url.value)
    return as_vllm(url.value)


def check_data(source: Source, data: bytes, media_io: Any) -> None:
    """Refuse the content of a file that is large, or whose video is.

    Raises:
        LimitExceeded: It is.
    """
    most = vllm_parts.limits().VLLM_MAX_MEDIA_DOWNLOAD_SIZE_MB * 2**20
    if len(data) > most:
        raise LimitExceeded(
            f"{source.path}: has {len(data)} bytes, and the limit is {most} "
            "(VLLM_MAX_MEDIA_DOWNLOAD_SIZE_MB in the worker's environment)",
            parameter=source.path,
            limit=most,
        )
    if source.kind == "video":
        frames, width, height = vllm_parts.video_extent(data)
        most = getattr(media_io, "num_frames", -1)
        if most > 0:
            frames = min(frames, most)
        limits.check_video_bytes(source, frames, width, height)


class Loader:
    """Reads the images, videos and audio of one request.

    Args:
        engine: What the request is for: anything with a ``model_config`` and a ``renderer``.
        media_io_kwargs: What the request says to the decoders.
    """

    def __init__(self, engine: Any, media_io_kwargs: Any = None) -> None:
        self._config = engine.model_config
        self._processor = getattr(engine.renderer, "mm_processor", None)
        self._io_kwargs = media_io_kwargs
        self._connector: Any = None

    @property
    def takes_embeddings(self) -> bool:
        """Whether tensors of floats may be embeddings."""
        config = self._config.multimodal_config
        return bool(config is not None and config.enable_mm_embeds)

    def check_counts(self, counts: Mapping[str, int], path: str) -> None:
        """Refuse more than the engine takes in one prompt, before anything of it is read.

        Args:
            counts: How many of each kind.
            path: Of what has them.

        Raises:
            Unsupported: The model takes none at all.
            InvalidArgument: They are too many.
        """
        if not any(counts.values()):
            return
        kinds = " and ".join(kind for kind, count in counts.items() if count)
        if self._processor is None:
            raise Unsupported(
                f"{path}: has {kinds}, and this engine takes text only: its model has no part for "
                "them, or it was built without (language_model_only, skip_tokenizer_init)",
                parameter=path,
            )
        info = self._processor.info
        for kind, count in counts.items():
            possible = info.supported_mm_limits.get(kind, 0)
            allowed = info.allowed_mm_limits.get(kind, 0)
            if count and possible == 0:
                taken = ", ".join(sorted(info.supported_mm_limits)) or "nothing"
                raise Unsupported(
                    f"{path}: has {kind}, and this model takes {taken} only", parameter=path
                )
            most = allowed if possible is None else min(possible, allowed)
            if count > most:
                more = possible is None or possible >= count
                how = f"; build the engine with limit_mm_per_prompt: {{{kind}: {count}}}"
                raise InvalidArgument(
                    f"{path}: has {count} of {kind}, and this engine takes {most} in one prompt"
                    f"{how if more else ''}",
                    parameter=path,
                    limit=most,
                )

    async def load_all(self, sources: Sequence[Source]) -> list[Any]:
        """Reads sources, those of a network at the same time; returns what vLLM takes.

        Raises:
            BridgeError: One cannot be read; the message names it. The others have ended.
        """
        if large_work.is_inline():
            return [self.load(source) for source in sources]
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        waiting = [
            loop.run_in_executor(
                _fetching if is_remote(source) else _decoding,
                context.copy().run,
                self.load,
                source,
            )
            for source in sources
        ]
        done = await asyncio.gather(*waiting, return_exceptions=True)
        for value in done:
            if isinstance(value, BaseException):
                raise value
        return done

    def load(self, source: Source) -> Any:
        """Reads one.

        Raises:
            BridgeError: It cannot be read. The message names it, and says what to do.
        """
        try:
            return self._load(source)
        except BridgeError:
            raise
        except ImportError as error:
            raise Unsupported(
                f"{source.path}: this worker lacks what reads {source.kind}: {error}. To install "
                f"it, {HOW_TO_INSTALL}",
                parameter=source.path,
            ) from error
        except MemoryError as error:
            raise LimitExceeded(
                f"{source.path}: the worker has not the memory to read it", parameter=source.path
            ) from error
        except Exception as error:  # each format has its own
            raise InvalidArgument(
                f"{source.path}: cannot be read as {source.kind}: {_reason(error)}",
                parameter=source.path,
            ) from error

    def _load(self, source: Source) -> Any:
        if source.form == "tensor":
            return self._tensor(source)
        if source.form == "frames":
            return self._frames(source)
        if self._connector is None:
            merged = vllm_parts.merged_io_kwargs(self._config, self._io_kwargs)
            self._connector = vllm_parts.connector(self._config, merged, resolve)
        if source.form in ("path", "url"):
            source = self._located(source)
        if source.kind == "image":
            return self._connector.fetch_image(source)
        if source.kind == "video":
            name = vllm_parts.video_processor_name(self._config)
            return self._connector.fetch_video(source, video_processor=name)
        samples, rate = self._connector.fetch_audio(source)
        self._check_audio(source, samples, rate)
        return samples, rate

    def _located(self, source: Source) -> Source:
        """A source of bytes or of vLLM's URL, after a look at whether the engine may read it."""
        if source.form == "path":
            return self._file(source, Path(source.value))
        scheme = urlsplit(source.value).scheme.lower()
        if scheme in ("http", "https"):
            return self._remote(source)
        if scheme == "file":
            parts = urlsplit(source.value)
            from urllib.request import url2pathname

            return self._file(source, Path(url2pathname(parts.netloc + parts.path)))
        if scheme == "data":
            return self._inline(source)
        raise InvalidArgument(
            f"{source.path}: a URL is data:, http(s): or file:, got "
            f"{source.value[:40]!r}. A file is given as 'path', its content as 'data'",
            parameter=source.path,
        )

    def _file(self, source: Source, path: Path) -> Source:
        allowed = self._config.allowed_local_media_path
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
        size = found.stat().st_size
        most = vllm_parts.limits().VLLM_MAX_MEDIA_DOWNLOAD_SIZE_MB * 2**20
        if size > most:
            raise LimitExceeded(
                f"{source.path}: {found} has {size} bytes, and the limit is {most}",
                parameter=source.path,
                limit=most,
            )
        return Source(source.kind, "data", found.read_bytes(), source.path)

    def _remote(self, source: Source) -> Source:
        domains = self._config.allowed_media_domains
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

    def _inline(self, source: Source) -> Source:
        """A ``data:`` URL; as vLLM has it, only in base64. A video's is looked at first."""
        head, comma, encoded = source.value.partition(",")
        kind, _, encoding = head.partition(":")[2].rpartition(";")
        if not comma or encoding.lower() != "base64":
            raise InvalidArgument(
                f"{source.path}: a data URL is data:<type>;base64,<content>, got "
                f"{source.value[:40]!r}",
                parameter=source.path,
            )
        if source.kind == "video" and kind.partition(";")[0].lower() == "video/jpeg":
            return source  # vLLM's own: frames as JPEGs with commas between them
        import base64

        data = base64.b64decode(encoded, validate=True)
        return Source(source.kind, "data", data, source.path)

    def _tensor(self, source: Source) -> Any:
        """A tensor as vLLM cannot misread it: images are Pillow's, or channels come first.

        vLLM and the models' processors tell the channels by the extents, not all in the same way,
        and a tensor that is read as one of another shape ends the engine.
        """
        limits.check_tensor(source)
        settings = vllm_parts.limits()
        array = source.value.numpy() if hasattr(source.value, "numpy") else source.value
        if source.kind == "audio":
            return self._samples(source, array)
        limits.check_pixels(source, settings.VLLM_MAX_IMAGE_PIXELS)
        if array.shape[-1] not in limits.CHANNELS:
            array = array.swapaxes(-3, -2).swapaxes(-2, -1)  # channels come last now
        if source.kind == "image":
            return self._image(source, array)
        frames, height, width, _ = array.shape
        limits.check_video_bytes(source, frames, width, height)
        if array.shape[-1] != 3 or str(array.dtype) != "uint8":
            raise InvalidArgument(
                f"{source.path}: frames are of uint8 and have 3 channels, got {array.dtype} and "
                f"{array.shape[-1]}",
                parameter=source.path,
            )
        return self._with_metadata(source, array)

    def _image(self, source: Source, array: Any) -> Any:
        if str(array.dtype) == "uint8":
            return vllm_parts.image_of(array)
        if array.shape[-1] != 3:
            raise InvalidArgument(
                f"{source.path}: an image of floats has 3 channels, got {array.shape[-1]}",
                parameter=source.path,
            )
        if min(array.shape[:2]) <= max(limits.CHANNELS):
            raise InvalidArgument(
                f"{source.path}: an image of floats has more than {max(limits.CHANNELS)} pixels on "
                "each side, or its channels cannot be told; send uint8",
                parameter=source.path,
            )
        return array.astype("float32")

    def _samples(self, source: Source, array: Any) -> Any:
        array = array.astype("float32")
        rate = source.about.get("sampling_rate")
        most = vllm_parts.limits().VLLM_MAX_AUDIO_DECODE_DURATION_S
        limits.check_audio(
            source,
            array.shape[-1],
            self._target_rate or 16_000 if rate is None else rate,
            self._target_rate,
            most,
        )
        return array if rate is None else (array, rate)

    def _check_audio(self, source: Source, samples: Any, rate: Any) -> None:
        most = vllm_parts.limits().VLLM_MAX_AUDIO_DECODE_DURATION_S
        limits.check_audio(source, samples.shape[-1], rate, self._target_rate, most)
        found = first_not_finite(samples)
        if found is not None or not samples.shape[-1]:
            what = "no sample" if found is None else f"{found.text} at {list(found.position)}"
            raise InvalidArgument(f"{source.path}: is audio with {what}", parameter=source.path)

    @property
    def _target_rate(self) -> float | None:
        """The rate that the model wants, where audio is resampled."""
        parser = getattr(getattr(self._processor, "info", None), "data_parser", None)
        resampler = getattr(parser, "audio_resampler", None)
        rate: float | None = getattr(resampler, "target_sr", None)
        return rate

    def _frames(self, source: Source) -> Any:
        images: list[Any] = []
        for frame in source.value:
            image = self.load(frame)
            image = getattr(image, "media", image)
            if is_array(image):
                raise InvalidArgument(
                    f"{frame.path}: a frame as a tensor is of uint8", parameter=frame.path
                )
            width, height = image.size
            limits.check_video_bytes(source, len(source.value), width, height)
            if images and images[0].size != image.size:
                raise InvalidArgument(
                    f"{frame.path}: the frames of a video have one size; the first has "
                    f"{images[0].size[0]} x {images[0].size[1]}, this one {width} x {height}",
                    parameter=frame.path,
                )
            images.append(image)
        return self._with_metadata(source, vllm_parts.stacked(images))

    def _with_metadata(self, source: Source, frames: Any) -> Any:
        """Frames, with what vLLM's loaders tell of a video, if anything is known."""
        metadata, fps = source.about.get("metadata"), source.about.get("fps")
        if metadata is not None:
            if not isinstance(metadata, Mapping):
                raise InvalidArgument(f"{source.path}: 'metadata' is a map", parameter=source.path)
            return frames, dict(metadata)
        if fps is None:
            return frames
        if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps < 1e6:
            raise InvalidArgument(
                f"{source.path}: 'fps' is a number above 0, got {fps!r}", parameter=source.path
            )
        count = len(frames)
        return frames, {
            "fps": float(fps),
            "duration": count / fps,
            "total_num_frames": count,
            "frames_indices": list(range(count)),
            "video_backend": "opencv",
            "do_sample_frames": False,
        }


def is_remote(source: Source) -> bool:
    """Whether reading a source waits for a network."""
    return source.form == "url" and source.value[:4].lower() == "http"


def _reason(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    first = re.sub(r" <[\w.]+ object at 0x[0-9a-f]+>", "", text.splitlines()[0])
    return first if len(first) <= 300 else f"{first[:300]} …"
