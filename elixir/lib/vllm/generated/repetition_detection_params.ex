# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.RepetitionDetectionParams do
  @moduledoc """
  Parameters for detecting repetitive N-gram patterns in output tokens.

  In Python: `vllm.sampling_params.RepetitionDetectionParams`, whose words these are: its
  `None` is `nil` here. A keyword list or a map with these keys is accepted wherever this
  struct is.

  ## Fields

    * `:max_pattern_size` - `int`, default `0`. Maximum size of N-gram pattern to detect for
      sequence repetition. Set to 0 to disable. Must be used together with min_count.
    * `:min_pattern_size` - `int`, default `0`. Minimum N-gram pattern size to check for
      sequence repetition. If set to 0, it defaults to 1. Must be <= max_pattern_size.
    * `:min_count` - `int`, default `0`. Minimum number of times an N-gram pattern must repeat
      to trigger detection. Must be >= 2. Example: 3 for detecting a phrase repeated 3 times.
      Must be used together with max_pattern_size.
  """

  @type t :: %__MODULE__{
          max_pattern_size: integer(),
          min_pattern_size: integer(),
          min_count: integer()
        }

  defstruct max_pattern_size: 0,
            min_pattern_size: 0,
            min_count: 0
end
