# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.RequestOutputKind do
  @moduledoc """
  What each output of a stream holds.

  In Python: `vllm.sampling_params.RequestOutputKind`. Its members are atoms here.

    * `:CUMULATIVE` - Return entire output so far in every RequestOutput
    * `:DELTA` - Return only deltas in each RequestOutput
    * `:FINAL_ONLY` - Do not return intermediate RequestOutput
  """

  @type t :: :CUMULATIVE | :DELTA | :FINAL_ONLY
end
