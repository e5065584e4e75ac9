# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.RequestStateStats do
  @moduledoc """
  Stats that need to be tracked across delta updates.

  In Python: `vllm.v1.metrics.stats.RequestStateStats`, whose words these are: its `None` is
  `nil` here.

  ## Fields

    * `:num_generation_tokens` - `int`. Tokens generated so far.
    * `:num_preemptions` - `int`. How often the request had to make room for others.
    * `:arrival_time` - `float`. When the request arrived, in seconds since 1970 (wall clock).
    * `:queued_ts` - `float`. When it was queued, in seconds of the engine's monotonic clock.
    * `:scheduled_ts` - `float`. When it was first scheduled, in seconds of the engine's
      monotonic clock.
    * `:first_token_ts` - `float`. When its first token was ready, in seconds of the engine's
      monotonic clock.
    * `:last_token_ts` - `float`. When its latest token was ready, in seconds of the engine's
      monotonic clock.
    * `:first_token_latency` - `float`. Seconds from arrival to the first token.
    * `:is_corrupted` - `bool`. Whether the logits held NaN.
    * `:is_watermarked` - `bool`. Whether the engine's watermark was applied.
    * `:is_watermark_skipped` - `bool`. Whether a watermark was asked for and could not be
      applied.
  """

  @type t :: %__MODULE__{
          num_generation_tokens: integer(),
          num_preemptions: integer(),
          arrival_time: float() | :nan | :infinity | :neg_infinity,
          queued_ts: float() | :nan | :infinity | :neg_infinity,
          scheduled_ts: float() | :nan | :infinity | :neg_infinity,
          first_token_ts: float() | :nan | :infinity | :neg_infinity,
          last_token_ts: float() | :nan | :infinity | :neg_infinity,
          first_token_latency: float() | :nan | :infinity | :neg_infinity,
          is_corrupted: boolean(),
          is_watermarked: boolean(),
          is_watermark_skipped: boolean()
        }

  defstruct num_generation_tokens: 0,
            num_preemptions: 0,
            arrival_time: 0.0,
            queued_ts: 0.0,
            scheduled_ts: 0.0,
            first_token_ts: 0.0,
            last_token_ts: 0.0,
            first_token_latency: 0.0,
            is_corrupted: false,
            is_watermarked: false,
            is_watermark_skipped: false

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
