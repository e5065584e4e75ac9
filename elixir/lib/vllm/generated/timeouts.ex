# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json and python_worker/gen/overlay/.
# It describes vLLM 0.32.0: see python_worker/gen/overlay.py.

defmodule Vllm.Timeouts do
  @moduledoc false

  # How long a call may take if its caller does not say. The reasons are in the overlay and in
  # the documentation of the functions.

  @doc "Gives the default deadline of a method, in milliseconds."
  @spec default(String.t(), String.t()) :: timeout()
  def default("AsyncLLM", "from_engine_args"), do: :infinity
  def default("AsyncLLM", "from_vllm_config"), do: :infinity
  def default("AsyncLLM", "new"), do: :infinity
  def default("AsyncLLM", "shutdown"), do: 600_000
  def default("AsyncLLM", "generate"), do: :infinity
  def default("AsyncLLM", "encode"), do: :infinity
  def default("AsyncLLM", "wait_for_requests_to_drain"), do: :infinity
  def default("AsyncLLM", "add_lora"), do: 600_000
  def default("AsyncLLM", "stop_profile"), do: 600_000
  def default("AsyncLLM", "compute_weight_checksums"), do: 600_000
  def default("AsyncLLM", "init_weight_transfer_engine"), do: :infinity
  def default("AsyncLLM", "start_weight_update"), do: 600_000
  def default("AsyncLLM", "start_draft_weight_update"), do: 600_000
  def default("AsyncLLM", "update_weights"), do: :infinity
  def default("AsyncLLM", "finish_weight_update"), do: 600_000
  def default("AsyncLLM", "checkpoint_prepare"), do: 600_000
  def default("AsyncLLM", "checkpoint_restore"), do: 600_000
  def default("AsyncLLM", "collective_rpc"), do: 600_000
  def default("AsyncLLM", "scale_elastic_ep"), do: :infinity
  def default("LLM", "new"), do: :infinity
  def default("LLM", "from_engine_args"), do: :infinity
  def default("LLM", "shutdown"), do: 600_000
  def default("LLM", "generate"), do: :infinity
  def default("LLM", "chat"), do: :infinity
  def default("LLM", "enqueue"), do: :infinity
  def default("LLM", "enqueue_chat"), do: :infinity
  def default("LLM", "wait_for_completion"), do: :infinity
  def default("LLM", "beam_search"), do: :infinity
  def default("LLM", "encode"), do: :infinity
  def default("LLM", "embed"), do: :infinity
  def default("LLM", "classify"), do: :infinity
  def default("LLM", "score"), do: :infinity
  def default("LLM", "stop_profile"), do: 600_000
  def default("LLM", "init_weight_transfer_engine"), do: :infinity
  def default("LLM", "start_weight_update"), do: 600_000
  def default("LLM", "start_draft_weight_update"), do: 600_000
  def default("LLM", "update_weights"), do: :infinity
  def default("LLM", "finish_weight_update"), do: 600_000
  def default("LLM", "collective_rpc"), do: 600_000
  def default("LLM", "apply_model"), do: 600_000
  def default("AsyncEngineArgs", "create_engine_config"), do: :infinity
  def default("EngineArgs", "create_engine_config"), do: :infinity
  def default("RequestOutputCollector", "get"), do: :infinity
  def default(_class, _method), do: 60_000

  @doc """
  Gives the arguments with which a method has no deadline: name, position where it has one, and
  value.
  """
  @spec unlimited_with(String.t(), String.t()) :: [{String.t(), non_neg_integer() | nil, term()}]
  def unlimited_with("AsyncLLM", "pause_generation"),
    do: [{"mode", nil, "wait"}, {"wait_for_inflight_requests", nil, true}]

  def unlimited_with("AsyncLLM", "sleep"), do: [{"mode", 1, "wait"}]
  def unlimited_with("LLM", "sleep"), do: [{"mode", 1, "wait"}]
  def unlimited_with(_class, _method), do: []
end
