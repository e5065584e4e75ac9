# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.KVEventBatch do
  @moduledoc """
  The changes of the KV cache in one step of an engine.

  In Python: `python_worker.engines.kv_events.KVEventBatch`, whose words these are: its `None`
  is `nil` here. A keyword list or a map with these keys is accepted wherever this struct is.

  ## Fields

    * `:data_parallel_rank` - `int`, required. Whose cache it is.
    * `:sequence` - `int`, required. The number of the batch, of this rank; they count from 0.
    * `:missed` - `int`, required. How many batches before this one were lost, because the
      client was too slow.
    * `:timestamp` - `float`, required. When they were made, in seconds since 1970.
    * `:events` - `list[dict[str, Any]]`, required. Maps with vLLM's fields, by the names of its
      classes in `type`: `BlockStored` (`block_hashes`, `parent_block_hash`, `token_ids`,
      `block_size`, `medium`, `lora_name` ...), `BlockRemoved` (`block_hashes`, `medium` ...)
      and `AllBlocksCleared`.
  """

  @type t :: %__MODULE__{
          data_parallel_rank: integer(),
          sequence: integer(),
          missed: integer(),
          timestamp: number(),
          events: [%{optional(String.t()) => term()}]
        }

  defstruct data_parallel_rank: nil,
            sequence: nil,
            missed: nil,
            timestamp: nil,
            events: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
