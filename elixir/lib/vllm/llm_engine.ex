defmodule Vllm.LLMEngine do
  @moduledoc """
  vLLM's `LLMEngine`, the engine inside of an `LLM`. It is not served: its caller would have to call
  `step` for each token. `Vllm.LLM` does that in the worker, with `enqueue` for `add_request` and
  `wait_for_completion` for `step`; `Vllm.AsyncLLM` serves requests of many processes.
  """

  alias Vllm.Error

  @message "LLMEngine is not served, because its caller has to step it: use Vllm.LLM, whose enqueue and " <>
             "wait_for_completion do the same in the worker, or Vllm.AsyncLLM"

  @doc "Always an error of the kind `:unsupported`, which says what to use instead."
  @spec from_engine_args(term()) :: {:error, Error.t()}
  def from_engine_args(_engine_args), do: {:error, Error.new(:unsupported, @message)}

  @doc "Always an error of the kind `:unsupported`, which says what to use instead."
  @spec from_vllm_config(term()) :: {:error, Error.t()}
  def from_vllm_config(_vllm_config), do: {:error, Error.new(:unsupported, @message)}
end
