"""VLLM's own ``LLM`` over the bridge equals the same calls in process."""
