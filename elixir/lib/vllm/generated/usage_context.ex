# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.UsageContext do
  @moduledoc """
  Where an engine is used, as told to vLLM's usage statistics.

  In Python: `vllm.usage.usage_lib.UsageContext`. Its members are atoms here.

    * `:UNKNOWN_CONTEXT`
    * `:LLM_CLASS`
    * `:API_SERVER`
    * `:OPENAI_API_SERVER`
    * `:OPENAI_BATCH_RUNNER`
    * `:ENGINE_CONTEXT`
  """

  @type t ::
          :UNKNOWN_CONTEXT
          | :LLM_CLASS
          | :API_SERVER
          | :OPENAI_API_SERVER
          | :OPENAI_BATCH_RUNNER
          | :ENGINE_CONTEXT
end
