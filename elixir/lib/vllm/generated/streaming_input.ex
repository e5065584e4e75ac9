# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.StreamingInput do
  @moduledoc """
  Input data for a streaming generation request.

  This is used with generate() to support multi-turn streaming sessions where inputs are
  provided via an async generator.

  In Python: `vllm.engine.protocol.StreamingInput`, whose words these are: its `None` is `nil`
  here. A keyword list or a map with these keys is accepted wherever this struct is.

  ## Fields

    * `:prompt` - `EngineInput`, required. The chunk of input.
    * `:sampling_params` - `SamplingParams or None`, default `nil`. Parameters for this chunk;
      those of the call where it is `nil`.
  """

  @type t :: %__MODULE__{
          prompt: term(),
          sampling_params: Vllm.SamplingParams.t() | keyword() | map() | nil
        }

  defstruct prompt: nil,
            sampling_params: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
