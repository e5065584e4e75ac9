defmodule Vllm.Status do
  @moduledoc """
  The instances that run on this node, with their workers and engines, at one moment.

  `Vllm.status/0` returns it, and inspecting it gives a table:

      iex> Vllm.status()
      #Vllm.Status<
        MyApp.Vllm: pid 4242, vLLM 0.32.0, up 12 min, 5 calls in flight
          engine          model            state     running waiting tokens/s     KV
          :llama          Llama-3.2-1B     ready           4       0    118.2  3.1 %
          :qwen           -                building        -       -        -      -
      >

  `Vllm.status/1` returns what the worker of one instance reports, as a map.

  ## Fields

    * `instances` - a map for each instance, sorted by their names:
      * `:name` - the instance's name
      * `:error` - the `Vllm.Error` of an instance that did not answer, or `nil`; then `:worker` is `nil`
        and `:engines` is empty
      * `:worker` - a map with `:pid`, `:vllm_version`, `:uptime_s`, `:max_rss_bytes` (the most memory that
        the worker itself has had) and `:calls` (how many calls of this node's clients are in flight)
      * `:engines` - a map for each engine: `:name` (as declared, or `nil`), `:ref`, `:type`, `:model`,
        `:state` (`:ready`, `:building`, `:dead`, `{:hangs, seconds}` or `{:failed, error}`), `:running` and
        `:waiting` requests, `:tokens_per_s`, `:generation_tokens` (in all) and `:kv_cache_usage` (0.0 to
        1.0). What is not known is `nil`: of an engine that was built with `disable_log_stats: true` only the
        requests are
  """

  @enforce_keys [:instances]
  defstruct [:instances, :read_at]

  @typedoc "What an engine does. `{:hangs, seconds}` has requests that get nothing, `{:failed, error}` is declared and did not start."
  @type engine_state ::
          :ready | :building | :dead | {:hangs, number()} | {:failed, Vllm.Error.t()}

  @typedoc "A row of an engine."
  @type engine :: %{
          name: atom(),
          ref: Vllm.Ref.t() | nil,
          type: String.t(),
          model: String.t() | nil,
          state: engine_state(),
          running: non_neg_integer() | nil,
          waiting: non_neg_integer() | nil,
          tokens_per_s: float() | nil,
          generation_tokens: non_neg_integer() | nil,
          kv_cache_usage: float() | nil
        }

  @typedoc "What is known of a worker."
  @type worker :: %{
          pid: pos_integer(),
          vllm_version: String.t() | nil,
          uptime_s: float(),
          max_rss_bytes: non_neg_integer() | nil,
          calls: non_neg_integer()
        }

  @typedoc "An instance with its worker and engines."
  @type instance :: %{
          name: atom(),
          error: Vllm.Error.t() | nil,
          worker: worker() | nil,
          engines: [engine()]
        }

  @type t :: %__MODULE__{instances: [instance()], read_at: integer() | nil}

  defimpl Inspect do
    def inspect(status, _opts) do
      lines = status |> Vllm.Core.StatusTable.lines() |> Enum.map(&["  ", &1, "\n"])
      IO.iodata_to_binary(["#Vllm.Status<\n", lines, ">"])
    end
  end
end
