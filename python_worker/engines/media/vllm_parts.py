"""What is called of vLLM to read images, videos and audio.

Every import of vLLM is in a function: it takes seconds, and unit tests have none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def limits() -> Any:
    """VLLM's settings in the environment, among them its limits."""
    from vllm import envs

    return envs


def connector(model_config: Any, media_io_kwargs: Any, resolve: Callable[..., Any]) -> Any:
    """VLLM's loader of an engine, with what ``resolve`` knows beside vLLM's URLs.

    Args:
        model_config: The engine's.
        media_io_kwargs: The request's, merged with the engine's.
        resolve: See ``has_resolver``.
    """
    has_resolver(resolve)
    from vllm import envs
    from vllm.multimodal.media.connector import MEDIA_CONNECTOR_REGISTRY

    return MEDIA_CONNECTOR_REGISTRY.load(
        envs.VLLM_MEDIA_CONNECTOR,
        media_io_kwargs=media_io_kwargs,
        allowed_local_media_path=model_config.allowed_local_media_path,
        allowed_media_domains=model_config.allowed_media_domains,
    )


def has_resolver(resolve: Callable[..., Any]) -> None:
    """Has every loader that vLLM makes ask ``resolve`` first, from now on.

    Args:
        resolve: Called with what stands for a URL, the decoder, and a function that does what vLLM
            would; returns what was read.
    """
    from vllm.multimodal.media.connector import MEDIA_CONNECTOR_REGISTRY

    registry: Any = MEDIA_CONNECTOR_REGISTRY
    if "load" in vars(registry):
        return
    load = registry.load

    def load_and_watch(name: str, *args: Any, **kwargs: Any) -> Any:
        made = load(name, *args, **kwargs)
        from_url, from_url_async = made.load_from_url, made.load_from_url_async

        def load_from_url(url: Any, media_io: Any, **options: Any) -> Any:
            return resolve(url, media_io, lambda it: from_url(it, media_io, **options))

        async def load_from_url_async(url: Any, media_io: Any, **options: Any) -> Any:
            found = resolve(url, media_io, lambda it: from_url_async(it, media_io, **options))
            return await found if hasattr(found, "__await__") else found

        made.load_from_url, made.load_from_url_async = load_from_url, load_from_url_async
        return made

    registry.load = load_and_watch


def merged_io_kwargs(model_config: Any, given: Any) -> Any:
    """What decoders are told: the engine's settings, and a request's on top of them."""
    from vllm.multimodal.media.connector import merge_media_io_kwargs

    config = model_config.multimodal_config
    return merge_media_io_kwargs(config.media_io_kwargs if config else None, given)


def video_processor_name(model_config: Any) -> Any:
    """The class of the model's video processor, which decides about the decoder."""
    from vllm.renderers.chat_utils import get_video_processor_cls_name

    return get_video_processor_cls_name(model_config)


def video_extent(data: bytes) -> tuple[int, int, int]:
    """How many frames a video has, and how wide and high they are: without decoding any.

    Raises:
        ValueError: It is no video.
    """
    import cv2
    from vllm.multimodal.video_decoders.opencv import OpenCVVideoBackendMixin

    capture = OpenCVVideoBackendMixin.open_video_capture(data)
    fields = (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    # It is not released: OpenCV 5 then reads memory that it has given back, and the process ends.
    frames, width, height = (int(capture.get(field)) for field in fields)
    return frames, width, height


def image_of(array: Any) -> Any:
    """An image of Pillow's, of height x width x channels as bytes.

    Args:
        array: Of numpy's, uint8.
    """
    from PIL import Image

    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def stacked(images: list[Any]) -> Any:
    """The frames of a video, of images of Pillow's.

    Raises:
        ValueError: They differ in size.
    """
    import numpy as np

    return np.stack([np.asarray(image.convert("RGB")) for image in images])
