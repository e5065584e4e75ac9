# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.KvHintAction do
  @moduledoc """
  A versioned orchestrator-provided KV hint action.

  In Python: `vllm.v1.kv_hints.protocol.KvHintAction`, whose words these are: its `None` is
  `nil` here. A keyword list or a map with these keys is accepted wherever this struct is.

  ## Fields

    * `:action_id` - `str`, required. Names this action.
    * `:action_type` - `str`, required. What is hinted at.
    * `:action_version` - `str`, required. Version of the action's format.
    * `:payload` - `dict[str, Any]`, required. What belongs to the action.
  """

  @type t :: %__MODULE__{
          action_id: String.t(),
          action_type: String.t(),
          action_version: String.t(),
          payload: %{optional(String.t()) => term()}
        }

  defstruct action_id: nil,
            action_type: nil,
            action_version: nil,
            payload: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
