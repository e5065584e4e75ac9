# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.OptimizationLevel do
  @moduledoc """
  Optimization level enum.

  In Python: `vllm.config.vllm.OptimizationLevel`. Its members are atoms here.

    * `:O0` - O0 : No optimization. no compilation, no cudagraphs, no other optimization, just starting up immediately
    * `:O1` - O1: Quick optimizations. Dynamo+Inductor compilation and Piecewise cudagraphs
    * `:O2` - O2: Full optimizations. -O1 as well as Full and Piecewise cudagraphs.
    * `:O3` - O3: Currently the same as -O2s.
  """

  @type t :: :O0 | :O1 | :O2 | :O3
end
