"""What vLLM leaves unsaid: words of ours for classes, fields and members without a docstring.

Used only where vLLM itself says nothing, so a note falls silent when vLLM finds its own
words. `EXAMPLES` are shown in the documentation of the struct and run by a test.
"""

from __future__ import annotations

CLASSES = {
    "StructuredOutputsParams": (
        "Makes the output follow a format. Exactly one of `json`, `regex`, `choice`, `grammar`, "
        "`json_object` and `structural_tag` must be set."
    ),
    "RequestOutputKind": "What each output of a stream holds.",
    "UsageContext": "Where an engine is used, as told to vLLM's usage statistics.",
    "EmbeddingRequestOutput": "The output data of an embedding request.",
    "ClassificationRequestOutput": "The output data of a classification request.",
    "ScoringRequestOutput": "The output data of a scoring request.",
    "FaultToleranceRequest": "An instruction for engines that run with fault tolerance.",
    "FaultToleranceResult": "What became of an instruction for engines with fault tolerance.",
}

_TIMES = "in seconds of the engine's monotonic clock"

FIELDS = {
    "AsyncEngineArgs": {
        "enable_return_routed_experts": "Whether outputs carry `routed_experts`.",
        "spec_method": "Short for the `method` of `speculative_config`.",
        "spec_model": "Short for the `model` of `speculative_config`.",
        "spec_tokens": "Short for the `num_speculative_tokens` of `speculative_config`.",
        "log_config_file": "Deprecated in vLLM: a logging configuration file.",
        "mamba_backend": "Backend of the Mamba selective state update.",
        "mamba_ssu_algorithm": "Algorithm of the Mamba selective state update.",
        "tokens_only": "Whether the server works on token ids alone, without a tokenizer.",
    },
    "SamplingParams": {
        "output_kind": (
            "What each output of the stream holds: everything so far (`:CUMULATIVE`), what is "
            "new (`:DELTA`), or there is one output at the end (`:FINAL_ONLY`)."
        ),
        "output_text_buffer_length": "Internal: set by vLLM from `stop`.",
        "skip_reading_prefix_cache": "Whether to compute the prompt anew instead of reading it "
        "from the prefix cache. `nil` lets vLLM decide.",
    },
    "StructuredOutputsParams": {
        "json": "A JSON schema, as a map or as text.",
        "regex": "A regular expression that the whole output matches.",
        "choice": "The strings from which the output is chosen.",
        "grammar": "A context-free grammar, in EBNF or Lark syntax.",
        "json_object": "Any JSON object will do.",
        "disable_any_whitespace": "Whether JSON is written without optional whitespace.",
        "disable_additional_properties": "Whether objects have the schema's properties only.",
        "whitespace_pattern": "A regular expression for whitespace between the parts of JSON.",
        "structural_tag": "A structural tag, as JSON text: formats that hold within tags only.",
    },
    "PoolingParams": {
        "step_tag_id": "For step pooling: the token at which a step ends.",
        "returned_token_ids": "For step pooling: the token ids whose scores are returned.",
        "task": (
            "What to compute. Without it a model pools every token by itself, so set it: "
            '`"embed"` for one vector, `"classify"` for class probabilities.'
        ),
        "requires_token_ids": "Internal: set by vLLM from the model's pooler.",
        "skip_reading_prefix_cache": "Whether to compute the prompt anew. `nil` lets vLLM decide.",
        "late_interaction_params": "For late-interaction scoring: which query this belongs to.",
        "extra_kwargs": "Arguments for a plug-in's pooler.",
        "output_kind": "There is one output, whatever this says.",
    },
    "LoRARequest": {
        "lora_name": "Name of the adapter.",
        "lora_int_id": "Id of the adapter, above zero: one id for each adapter.",
        "lora_path": "Folder of the adapter, on the worker's machine.",
        "base_model_name": "Name of the model the adapter was made for.",
    },
    "RequestStateStats": {
        "num_generation_tokens": "Tokens generated so far.",
        "num_preemptions": "How often the request had to make room for others.",
        "arrival_time": "When the request arrived, in seconds since 1970 (wall clock).",
        "queued_ts": f"When it was queued, {_TIMES}.",
        "scheduled_ts": f"When it was first scheduled, {_TIMES}.",
        "first_token_ts": f"When its first token was ready, {_TIMES}.",
        "last_token_ts": f"When its latest token was ready, {_TIMES}.",
        "first_token_latency": "Seconds from arrival to the first token.",
        "is_corrupted": "Whether the logits held NaN.",
        "is_watermarked": "Whether the engine's watermark was applied.",
        "is_watermark_skipped": "Whether a watermark was asked for and could not be applied.",
    },
    "CompletionOutput": {
        "routed_experts": "The experts each token was routed to: tokens x layers x experts.",
    },
    "RequestError": {
        "code": "What went wrong, as a short code.",
        "message": "What went wrong, for a person.",
        "retryable": "Whether the same request may succeed later.",
    },
    "SamplingMask": {"token_ids": "The token ids that survived, for each generated token."},
    "WeightVersionSpan": {
        "version": "Label of the weights.",
        "start": "Index of the first token.",
        "end": "Index after the last token.",
    },
    "BeamSearchParams": {
        "beam_width": "How many beams are kept, and how many texts are returned.",
        "max_tokens": "Maximum number of tokens to generate.",
        "ignore_eos": "Whether a beam goes on after the EOS token.",
        "temperature": "Controls the randomness of the sampling.",
        "length_penalty": "The score of a beam is divided by its length to this power.",
        "include_stop_str_in_output": "Whether the stop string stays in the text.",
        "structured_outputs": "The format that the texts must have.",
        "skip_special_tokens": "Whether the text leaves out special tokens.",
        "watermarking": "Whether the engine's watermark is applied. `nil` lets vLLM decide.",
    },
    "FaultToleranceRequest": {
        "instruction": "What to do.",
        "params": "Arguments of the instruction.",
        "request_id": "Comes back with the result.",
    },
    "FaultToleranceResult": {
        "request_id": "That of the instruction.",
        "success": "Whether it was carried out.",
        "reason": "Why not.",
    },
    "KvHintAction": {
        "action_id": "Names this action.",
        "action_type": "What is hinted at.",
        "action_version": "Version of the action's format.",
        "payload": "What belongs to the action.",
    },
    "KvHintsEnvelope": {
        "protocol_version": "Version of the envelope's format.",
        "message_id": "Names this envelope.",
        "actions": "The hints.",
    },
    "StreamingInput": {
        "prompt": "The chunk of input.",
        "sampling_params": "Parameters for this chunk; those of the call where it is `nil`.",
    },
    "WeightTransferInitRequest": {"init_info": "What the backend of the transfer needs to start."},
    "WeightTransferUpdateRequest": {"update_info": "Which weights the backend should transfer."},
}

OLD = {
    "SamplingParams": {
        "guided_decoding": "becomes `structured_outputs`",
        "truncate_prompt_tokens": (
            "becomes `truncate_prompt_tokens` in the call's `tokenization_kwargs`"
        ),
    },
}
"""Keys of earlier versions that the worker still takes in a keyword list or a map."""

EXAMPLES = {
    "SamplingParams": """\
iex> params = %Vllm.SamplingParams{temperature: 0.0, max_tokens: 64, stop: ["\\n\\n"]}
iex> params.top_p
1.0
""",
    "StructuredOutputsParams": """\
iex> format = %Vllm.StructuredOutputsParams{choice: ["yes", "no"]}
iex> %Vllm.SamplingParams{structured_outputs: format}.structured_outputs.choice
["yes", "no"]
""",
    "LoRARequest": """\
iex> %Vllm.LoRARequest{lora_name: "sql", lora_int_id: 1, lora_path: "/adapters/sql"}.load_inplace
false
""",
    "TokensPrompt": """\
iex> %Vllm.TokensPrompt{prompt_token_ids: [1, 15043], cache_salt: "tenant-7"}.prompt
nil
""",
}
