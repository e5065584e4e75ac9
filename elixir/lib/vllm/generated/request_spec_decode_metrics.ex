# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.RequestSpecDecodeMetrics do
  @moduledoc """
  Per-output-sequence speculative-decoding statistics accumulator.

  Accumulates, over one sequence's verify steps, a histogram of accepted draft-token counts
  (`j`, draft-only) and the total number of proposed draft tokens. When `detailed` is
  requested it also records the ordered per-step accepted/proposed sequences (`summary` omits
  them). Tracked per engine `Request` (one per sampled sequence, so `n > 1` yields one per
  child), surfaced via `EngineCoreOutput` and the response `metrics.speculative_decoding` for
  single-sequence requests (see `to_dict`).

  In Python: `vllm.v1.metrics.stats.RequestSpecDecodeMetrics`, whose words these are: its
  `None` is `nil` here.

  ## Fields

    * `:num_spec_tokens` - `int`. Configured `num_speculative_tokens` (the max `k`); also the
      histogram's upper bound.
    * `:histogram` - `list[int]`. Dense counts indexed by accepted draft tokens `j` (length
      `num_spec_tokens + 1`).
    * `:num_draft_tokens` - `int`. Total proposed draft tokens, after the grammar-invalidated
      (`num_invalid_spec_tokens`) adjustment.
    * `:per_step_accepted` - `list[int]`. Ordered accepted-draft count per verify step
      (`detailed` only; empty otherwise).
    * `:per_step_drafted` - `list[int]`. Ordered proposed-draft count per verify step
      (`detailed` only; empty otherwise).
  """

  @type t :: %__MODULE__{
          num_spec_tokens: integer(),
          histogram: [integer()],
          num_draft_tokens: integer(),
          per_step_accepted: [integer()],
          per_step_drafted: [integer()]
        }

  defstruct num_spec_tokens: nil,
            histogram: [],
            num_draft_tokens: 0,
            per_step_accepted: [],
            per_step_drafted: []

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
