# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.MambaBackendEnum do
  @moduledoc """
  Enumeration of supported Mamba SSU (selective state update) backends.

  In Python: `vllm.config.mamba.MambaBackendEnum`. Its members are atoms here.

    * `:TRITON`
    * `:FLASHINFER`
    * `:CPU`
  """

  @type t :: :TRITON | :FLASHINFER | :CPU
end
