# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.PoolingParams do
  @moduledoc """
  API parameters for pooling models.

  In Python: `vllm.pooling_params.PoolingParams`, whose words these are: its `None` is `nil`
  here. A keyword list or a map with these keys is accepted wherever this struct is.

  ## Fields

    * `:use_activation` - `bool or None`, default `nil`. Whether to apply activation function to
      the pooler outputs. `None` uses the pooler's default, which is `True` in most cases.
    * `:dimensions` - `int or None`, default `nil`. Reduce the dimensions of embeddings if model
      support matryoshka representation.
    * `:step_tag_id` - `int or None`, default `nil`. For step pooling: the token at which a step
      ends.
    * `:returned_token_ids` - `list[int] or None`, default `nil`. For step pooling: the token
      ids whose scores are returned.
    * `:task` - `PoolingTask or None`, default `nil`. What to compute. Without it a model pools
      every token by itself, so set it: `"embed"` for one vector, `"classify"` for class
      probabilities.

      The choices: `"embed"`, `"classify"`, `"token_embed"`, `"token_classify"`, `"plugin"`,
      `"embed&token_classify"`.

    * `:requires_token_ids` - `bool`, default `false`. Internal: set by vLLM from the model's
      pooler.
    * `:skip_reading_prefix_cache` - `bool or None`, default `nil`. Whether to compute the
      prompt anew. `nil` lets vLLM decide.
    * `:late_interaction_params` - `LateInteractionParams or None`, default `nil`. For
      late-interaction scoring: which query this belongs to.
    * `:extra_kwargs` - `dict[str, Any] or None`, default `nil`. Arguments for a plug-in's
      pooler.
    * `:output_kind` - `RequestOutputKind`, default `:FINAL_ONLY`. There is one output, whatever
      this says.
  """

  alias Vllm.{Call, Error, Ref}

  @typep worker :: Vllm.instance() | Ref.t()

  @type t :: %__MODULE__{
          use_activation: boolean() | nil,
          dimensions: integer() | nil,
          step_tag_id: integer() | nil,
          returned_token_ids: [integer()] | nil,
          task: String.t() | nil,
          requires_token_ids: boolean(),
          skip_reading_prefix_cache: boolean() | nil,
          late_interaction_params: Vllm.LateInteractionParams.t() | keyword() | map() | nil,
          extra_kwargs: %{optional(String.t()) => term()} | nil,
          output_kind: Vllm.RequestOutputKind.t()
        }

  defstruct use_activation: nil,
            dimensions: nil,
            step_tag_id: nil,
            returned_token_ids: nil,
            task: nil,
            requires_token_ids: false,
            skip_reading_prefix_cache: nil,
            late_interaction_params: nil,
            extra_kwargs: nil,
            output_kind: :FINAL_ONLY

  @doc """
  Checks fields as vLLM's `PoolingParams` does, in the worker, and returns them as a struct.

  Calls check them too, so this is for those who want to know before. The struct holds what
  was given; `to_map` says what vLLM makes of it. A struct is a value: what Python's `clone`
  copies needs no copy here.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `pooling_params` - `t:Vllm.PoolingParams.t/0`, a keyword list or a map

  ## Returns

  The struct.

  ## Errors

    * `:invalid` - an unknown field, a wrong type, or values that vLLM refuses; `details` has
      the `parameter` and its `value`, and `values` where several contradict each other
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, value} = Vllm.PoolingParams.new(pooling_params)
  """
  @doc group: :parameters
  @spec new(Vllm.PoolingParams.t() | keyword() | map()) ::
          {:ok, Vllm.PoolingParams.t()} | {:error, Error.t()}
  def new(pooling_params) do
    Call.invoke_class("PoolingParams", "new", 1, [pooling_params])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(
          worker() | Vllm.PoolingParams.t() | keyword() | map(),
          Vllm.PoolingParams.t() | keyword() | map() | Call.args_or_opts()
        ) :: {:ok, Vllm.PoolingParams.t()} | {:error, Error.t()}
  def new(worker_or_pooling_params, pooling_params_or_opts) do
    Call.invoke_class("PoolingParams", "new", 1, [
      worker_or_pooling_params,
      pooling_params_or_opts
    ])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(
          worker() | Vllm.PoolingParams.t() | keyword() | map(),
          Vllm.PoolingParams.t() | keyword() | map() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, Vllm.PoolingParams.t()} | {:error, Error.t()}
  def new(worker_or_pooling_params, pooling_params_or_args, args_or_opts) do
    Call.invoke_class("PoolingParams", "new", 1, [
      worker_or_pooling_params,
      pooling_params_or_args,
      args_or_opts
    ])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(worker(), Vllm.PoolingParams.t() | keyword() | map(), [term()], keyword()) ::
          {:ok, Vllm.PoolingParams.t()} | {:error, Error.t()}
  def new(worker, pooling_params, args, opts) do
    Call.invoke_class("PoolingParams", "new", 1, [worker, pooling_params, args, opts])
  end

  @doc """
  Returns all fields as vLLM has them, once it has made a `PoolingParams` of those that are
  given.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `pooling_params` - `t:Vllm.PoolingParams.t/0`, a keyword list or a map

  ## Returns

  A map by name. Objects in it, such as configurations, are maps too.

  ## Errors

    * `:invalid` - an unknown field, a wrong type, or values that vLLM refuses; `details` has
      the `parameter` and its `value`, and `values` where several contradict each other
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, value} = Vllm.PoolingParams.to_map(pooling_params)
  """
  @doc group: :parameters
  @spec to_map(Vllm.PoolingParams.t() | keyword() | map()) ::
          {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(pooling_params) do
    Call.invoke_class("PoolingParams", "to_map", 1, [pooling_params])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(
          worker() | Vllm.PoolingParams.t() | keyword() | map(),
          Vllm.PoolingParams.t() | keyword() | map() | Call.args_or_opts()
        ) :: {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker_or_pooling_params, pooling_params_or_opts) do
    Call.invoke_class("PoolingParams", "to_map", 1, [
      worker_or_pooling_params,
      pooling_params_or_opts
    ])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(
          worker() | Vllm.PoolingParams.t() | keyword() | map(),
          Vllm.PoolingParams.t() | keyword() | map() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker_or_pooling_params, pooling_params_or_args, args_or_opts) do
    Call.invoke_class("PoolingParams", "to_map", 1, [
      worker_or_pooling_params,
      pooling_params_or_args,
      args_or_opts
    ])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(worker(), Vllm.PoolingParams.t() | keyword() | map(), [term()], keyword()) ::
          {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker, pooling_params, args, opts) do
    Call.invoke_class("PoolingParams", "to_map", 1, [worker, pooling_params, args, opts])
  end

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
