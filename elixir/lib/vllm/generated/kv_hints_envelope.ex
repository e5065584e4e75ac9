# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.KvHintsEnvelope do
  @moduledoc """
  Orchestrator-provided KV hints optionally attached to one inference request. A KV hint
  envelope is a collection of KV hint action(s).

  In Python: `vllm.v1.kv_hints.protocol.KvHintsEnvelope`, whose words these are: its `None` is
  `nil` here. A keyword list or a map with these keys is accepted wherever this struct is.

  ## Fields

    * `:protocol_version` - `str`, required. Version of the envelope's format.
    * `:message_id` - `str`, required. Names this envelope.
    * `:actions` - `list[KvHintAction]`, required. The hints.
  """

  @type t :: %__MODULE__{
          protocol_version: String.t(),
          message_id: String.t(),
          actions: [Vllm.KvHintAction.t() | keyword() | map()]
        }

  defstruct protocol_version: nil,
            message_id: nil,
            actions: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
