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

  alias Vllm.{Call, Error, Ref}

  @typep worker :: Vllm.instance() | Ref.t()

  @type t :: %__MODULE__{
          max_pattern_size: integer(),
          min_pattern_size: integer(),
          min_count: integer()
        }

  defstruct max_pattern_size: 0,
            min_pattern_size: 0,
            min_count: 0

  @doc """
  Checks fields as vLLM's `RepetitionDetectionParams` does, in the worker, and returns them as
  a struct.

  Calls check them too, so this is for those who want to know before. The struct holds what
  was given; `to_map` says what vLLM makes of it. A struct is a value: what Python's `clone`
  copies needs no copy here.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `repetition_detection_params` - `t:Vllm.RepetitionDetectionParams.t/0`, a keyword list or
      a map

  ## Returns

  The struct.

  ## Errors

    * `:invalid` - an unknown field, a wrong type, or values that vLLM refuses; `details` has
      the `parameter` and its `value`, and `values` where several contradict each other
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, value} = Vllm.RepetitionDetectionParams.new(repetition_detection_params)
  """
  @doc group: :parameters
  @spec new(Vllm.RepetitionDetectionParams.t() | keyword() | map()) ::
          {:ok, Vllm.RepetitionDetectionParams.t()} | {:error, Error.t()}
  def new(repetition_detection_params) do
    Call.invoke_class("RepetitionDetectionParams", "new", 1, [repetition_detection_params])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(
          worker() | Vllm.RepetitionDetectionParams.t() | keyword() | map(),
          Vllm.RepetitionDetectionParams.t() | keyword() | map() | Call.args_or_opts()
        ) :: {:ok, Vllm.RepetitionDetectionParams.t()} | {:error, Error.t()}
  def new(worker_or_repetition_detection_params, repetition_detection_params_or_opts) do
    Call.invoke_class("RepetitionDetectionParams", "new", 1, [
      worker_or_repetition_detection_params,
      repetition_detection_params_or_opts
    ])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(
          worker() | Vllm.RepetitionDetectionParams.t() | keyword() | map(),
          Vllm.RepetitionDetectionParams.t() | keyword() | map() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, Vllm.RepetitionDetectionParams.t()} | {:error, Error.t()}
  def new(
        worker_or_repetition_detection_params,
        repetition_detection_params_or_args,
        args_or_opts
      ) do
    Call.invoke_class("RepetitionDetectionParams", "new", 1, [
      worker_or_repetition_detection_params,
      repetition_detection_params_or_args,
      args_or_opts
    ])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(worker(), Vllm.RepetitionDetectionParams.t() | keyword() | map(), [term()], keyword()) ::
          {:ok, Vllm.RepetitionDetectionParams.t()} | {:error, Error.t()}
  def new(worker, repetition_detection_params, args, opts) do
    Call.invoke_class("RepetitionDetectionParams", "new", 1, [
      worker,
      repetition_detection_params,
      args,
      opts
    ])
  end

  @doc """
  Returns all fields as vLLM has them, once it has made a `RepetitionDetectionParams` of those
  that are given.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `repetition_detection_params` - `t:Vllm.RepetitionDetectionParams.t/0`, a keyword list or
      a map

  ## Returns

  A map by name. Objects in it, such as configurations, are maps too.

  ## Errors

    * `:invalid` - an unknown field, a wrong type, or values that vLLM refuses; `details` has
      the `parameter` and its `value`, and `values` where several contradict each other
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, value} = Vllm.RepetitionDetectionParams.to_map(repetition_detection_params)
  """
  @doc group: :parameters
  @spec to_map(Vllm.RepetitionDetectionParams.t() | keyword() | map()) ::
          {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(repetition_detection_params) do
    Call.invoke_class("RepetitionDetectionParams", "to_map", 1, [repetition_detection_params])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(
          worker() | Vllm.RepetitionDetectionParams.t() | keyword() | map(),
          Vllm.RepetitionDetectionParams.t() | keyword() | map() | Call.args_or_opts()
        ) :: {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker_or_repetition_detection_params, repetition_detection_params_or_opts) do
    Call.invoke_class("RepetitionDetectionParams", "to_map", 1, [
      worker_or_repetition_detection_params,
      repetition_detection_params_or_opts
    ])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(
          worker() | Vllm.RepetitionDetectionParams.t() | keyword() | map(),
          Vllm.RepetitionDetectionParams.t() | keyword() | map() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(
        worker_or_repetition_detection_params,
        repetition_detection_params_or_args,
        args_or_opts
      ) do
    Call.invoke_class("RepetitionDetectionParams", "to_map", 1, [
      worker_or_repetition_detection_params,
      repetition_detection_params_or_args,
      args_or_opts
    ])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(
          worker(),
          Vllm.RepetitionDetectionParams.t() | keyword() | map(),
          [term()],
          keyword()
        ) :: {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker, repetition_detection_params, args, opts) do
    Call.invoke_class("RepetitionDetectionParams", "to_map", 1, [
      worker,
      repetition_detection_params,
      args,
      opts
    ])
  end

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
