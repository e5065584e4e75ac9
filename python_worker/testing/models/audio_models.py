"""Makes a tiny Qwen2-Audio, which hears: another sound gives another text, that means nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from python_worker.testing.models.model_files import Shape
from python_worker.testing.models.vision_models import (
    QWEN_TURNS,
    chat_tokenizer,
    text_config,
    without_memory,
    written,
)

#: What stands in a prompt for audio, and around it.
AUDIO_TOKENS: Final = {
    "audio": "<|AUDIO|>",
    "audio_bos": "<|audio_bos|>",
    "audio_eos": "<|audio_eos|>",
}

#: vLLM knows the weights by the names that they had in transformers before version 5.
OLD_NAMES: Final = {
    "model.language_model.": "language_model.model.",
    "model.audio_tower.": "audio_tower.",
    "model.multi_modal_projector.": "multi_modal_projector.",
    "lm_head.": "language_model.lm_head.",
}

MEL_BINS: Final = 128


def audio_model(path: str | Path, *, seed: int = 0) -> Path:
    """Makes the model, unless ``path`` already holds it.

    Args:
        path: The directory to make.
        seed: Of the weights.

    Returns:
        The directory.
    """
    return written(path, "qwen2audio", _qwen2audio, OLD_NAMES, seed)


def _qwen2audio(shape: Shape) -> tuple[Any, Any]:
    from transformers import (
        Qwen2AudioConfig,
        Qwen2AudioForConditionalGeneration,
        Qwen2AudioProcessor,
        WhisperFeatureExtractor,
    )

    tokenizer = chat_tokenizer(shape, AUDIO_TOKENS, QWEN_TURNS)
    config = Qwen2AudioConfig(
        audio_config={
            "model_type": "qwen2_audio_encoder",
            "d_model": 64,
            "encoder_layers": 2,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 128,
            "num_mel_bins": MEL_BINS,
        },
        text_config={**text_config(shape, len(tokenizer)), "model_type": "qwen2"},
        audio_token_index=tokenizer.convert_tokens_to_ids(AUDIO_TOKENS["audio"]),
    )
    processor = Qwen2AudioProcessor(
        feature_extractor=WhisperFeatureExtractor(feature_size=MEL_BINS),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )
    return without_memory(Qwen2AudioForConditionalGeneration, config), processor
