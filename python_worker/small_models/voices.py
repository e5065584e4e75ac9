"""Trains a LoRA adapter that gives a small chat model another voice.

Ordinary gradient descent with torch on two dozen pairs of question and answer, on the CPU: it
takes half a minute on two free cores. The upper layers are adapted, because that changes how the
model speaks more than what it says. The seed is fixed; the kernels of another machine may round
in another way, so the adapter is not the same bit by bit.

The files are a PEFT directory, which vLLM loads.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from python_worker.install.progress import Progress

RANK = 8
SCALE = 2.0
#: Of each layer that is adapted.
TARGETS = {
    "self_attn": ("q_proj", "v_proj", "o_proj"),
    "mlp": ("gate_proj", "up_proj", "down_proj"),
}
#: How many of the last layers are adapted.
LAYERS = 14
#: Each with some of the pairs. With more the model repeats the answers word by word.
STEPS = 26
PAIRS_PER_STEP = 4
WARM_UP_STEPS = 5
LEARNING_RATE = 1.5e-3
SEED = 0

#: Marks tokens of which nothing is to be learned.
IGNORED = -100

Example = tuple[list[int], list[int]]


def train(base: Path, folder: Path, pairs: Sequence[tuple[str, str]], progress: Progress) -> None:
    """Trains an adapter and writes it.

    Args:
        base: The folder of a Llama with a chat template.
        folder: Where the adapter is written.
        pairs: Questions, each with the answer in the voice.
        progress: Told how far it has come.
    """
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(SEED)
    progress.say(f"training an adapter on {len(pairs)} answers, {STEPS} steps")
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    model.requires_grad_(requires_grad=False)
    adapted = _adapt(torch, model)
    examples = [_example(tokenizer, question, answer) for question, answer in pairs]
    _descend(torch, model, adapted, examples, progress)
    _write(torch, adapted, base, folder)


def _adapt(torch: Any, model: Any) -> dict[str, Any]:
    """Adds the product of two small matrices to each target, and returns the additions by name."""
    adapted = {}
    layers = list(enumerate(model.model.layers))[-LAYERS:]
    for number, layer in layers:
        for part, names in TARGETS.items():
            for name in names:
                linear = getattr(getattr(layer, part), name)
                down = torch.nn.Linear(linear.in_features, RANK, bias=False)
                up = torch.nn.Linear(RANK, linear.out_features, bias=False)
                torch.nn.init.normal_(down.weight, std=1 / math.sqrt(linear.in_features))
                torch.nn.init.zeros_(up.weight)
                linear.register_forward_hook(_addition(down, up))
                adapted[f"model.layers.{number}.{part}.{name}"] = (down, up)
    return adapted


def _addition(down: Any, up: Any) -> Any:
    def add(_linear: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        return output + SCALE * up(down(inputs[0]))

    return add


def _example(tokenizer: Any, question: str, answer: str) -> Example:
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
    )
    prompt_ids, answer_ids = (
        tokenizer(text, add_special_tokens=False).input_ids
        for text in (prompt, answer + tokenizer.eos_token)
    )
    return prompt_ids, answer_ids


def _descend(
    torch: Any,
    model: Any,
    adapted: dict[str, Any],
    examples: Sequence[Example],
    progress: Progress,
) -> None:
    parameters = [part.weight for parts in adapted.values() for part in parts]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE)
    for step, batch in zip(range(STEPS), _batches(torch, examples), strict=False):
        rate = LEARNING_RATE * min(1.0, (step + 1) / WARM_UP_STEPS) * (1 - step / STEPS)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = _loss(torch, model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % WARM_UP_STEPS == 0:
            progress.say(f"step {step + 1} of {STEPS}, loss {loss.item():.2f}")


def _batches(torch: Any, examples: Sequence[Example]) -> Iterator[list[Example]]:
    """Yields examples in an order by chance, each as often as the others, without an end."""
    waiting: list[int] = []
    while True:
        if len(waiting) < PAIRS_PER_STEP:
            waiting += torch.randperm(len(examples)).tolist()
        taken, waiting = waiting[:PAIRS_PER_STEP], waiting[PAIRS_PER_STEP:]
        yield [examples[index] for index in taken]


def _loss(torch: Any, model: Any, batch: Sequence[Example]) -> Any:
    """How badly the model foretells the answers; the prompts are given."""
    length = max(len(prompt) + len(answer) for prompt, answer in batch)
    ids = torch.zeros((len(batch), length), dtype=torch.long)
    wanted = torch.full_like(ids, IGNORED)
    there = torch.zeros_like(ids)
    for row, (prompt, answer) in enumerate(batch):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor(prompt + answer)
        wanted[row, len(prompt) : end] = torch.tensor(answer)
        there[row, :end] = 1
    hidden = model.model(input_ids=ids, attention_mask=there).last_hidden_state[:, :-1]
    wanted = wanted[:, 1:]
    learned = wanted != IGNORED
    # The head is the largest matrix, so it sees the answers alone.
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[learned]), wanted[learned])


def _write(torch: Any, adapted: dict[str, Any], base: Path, folder: Path) -> None:
    from safetensors.torch import save_file

    tensors = {}
    for name, parts in adapted.items():
        for part, kind in zip(parts, ("lora_A", "lora_B"), strict=True):
            weight = part.weight.detach().to(torch.bfloat16).contiguous()
            tensors[f"base_model.model.{name}.{kind}.weight"] = weight
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.name,
        "r": RANK,
        "lora_alpha": SCALE * RANK,
        "target_modules": [name for names in TARGETS.values() for name in names],
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
