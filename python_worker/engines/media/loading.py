"""Reads what a client sent, with vLLM's own loaders, in threads."""

from __future__ import annotations

import asyncio
import contextvars
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from python_worker.engines.media import arrays, limits, vllm_parts
from python_worker.engines.media.addresses import is_remote, located
from python_worker.engines.media.handed import resolve
from python_worker.engines.media.sources import Source
from python_worker.exceptions import BridgeError, InvalidArgument, LimitExceeded, Unsupported
from python_worker.finite import is_array
from python_worker.process import large_work

HOW_TO_INSTALL: Final = "run `mix vllm.setup`, and see `mix vllm.doctor`"

# Each may decode half a gigabyte, so there are two; who waits for a network holds up no others.
_decoding: Final = ThreadPoolExecutor(2, thread_name_prefix="media")
_fetching: Final = ThreadPoolExecutor(8, thread_name_prefix="media-net")


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
            return arrays.from_tensor(source, self._target_rate)
        if source.form == "frames":
            return self._frames(source)
        if self._connector is None:
            merged = vllm_parts.merged_io_kwargs(self._config, self._io_kwargs)
            self._connector = vllm_parts.connector(self._config, merged, resolve)
        if source.form in ("path", "url"):
            source = located(self._config, source)
        if source.kind == "image":
            return self._connector.fetch_image(source)
        if source.kind == "video":
            name = vllm_parts.video_processor_name(self._config)
            return self._connector.fetch_video(source, video_processor=name)
        samples, rate = self._connector.fetch_audio(source)
        arrays.check_decoded(source, samples, rate, self._target_rate)
        return samples, rate

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
        return arrays.with_metadata(source, vllm_parts.stacked(images))


def _reason(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    first = re.sub(r" <[\w.]+ object at 0x[0-9a-f]+>", "", text.splitlines()[0])
    return first if len(first) <= 300 else f"{first[:300]} …"
