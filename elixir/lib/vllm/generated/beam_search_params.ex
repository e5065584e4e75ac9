# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.BeamSearchParams do
  @moduledoc """
  Beam search parameters for text generation.

  In Python: `vllm.sampling_params.BeamSearchParams`, whose words these are: its `None` is
  `nil` here. A keyword list or a map with these keys is accepted wherever this struct is.

  ## Fields

    * `:beam_width` - `int`, required. How many beams are kept, and how many texts are returned.
    * `:max_tokens` - `int`, required. Maximum number of tokens to generate.
    * `:ignore_eos` - `bool`, default `false`. Whether a beam goes on after the EOS token.
    * `:temperature` - `float`, default `0.0`. Controls the randomness of the sampling.
    * `:length_penalty` - `float`, default `1.0`. The score of a beam is divided by its length
      to this power.
    * `:include_stop_str_in_output` - `bool`, default `false`. Whether the stop string stays in
      the text.
    * `:structured_outputs` - `StructuredOutputsParams or None`, default `nil`. The format that
      the texts must have.
    * `:skip_special_tokens` - `bool`, default `true`. Whether the text leaves out special
      tokens.
    * `:watermarking` - `bool or None`, default `nil`. Whether the engine's watermark is
      applied. `nil` lets vLLM decide.
  """

  alias Vllm.{Call, Error, Ref}

  @typep worker :: Vllm.instance() | Ref.t()

  @type t :: %__MODULE__{
          beam_width: integer(),
          max_tokens: integer(),
          ignore_eos: boolean(),
          temperature: number(),
          length_penalty: number(),
          include_stop_str_in_output: boolean(),
          structured_outputs: Vllm.StructuredOutputsParams.t() | keyword() | map() | nil,
          skip_special_tokens: boolean(),
          watermarking: boolean() | nil
        }

  defstruct beam_width: nil,
            max_tokens: nil,
            ignore_eos: false,
            temperature: 0.0,
            length_penalty: 1.0,
            include_stop_str_in_output: false,
            structured_outputs: nil,
            skip_special_tokens: true,
            watermarking: nil

  @doc """
  Checks fields as vLLM's `BeamSearchParams` does, in the worker, and returns them as a
  struct.

  Calls check them too, so this is for those who want to know before. The struct holds what
  was given; `to_map` says what vLLM makes of it. A struct is a value: what Python's `clone`
  copies needs no copy here.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `beam_search_params` - `t:Vllm.BeamSearchParams.t/0`, a keyword list or a map

  ## Returns

  The struct.

  ## Errors

    * `:invalid` - an unknown field, a wrong type, or values that vLLM refuses; `details` has
      the `parameter` and its `value`, and `values` where several contradict each other
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, value} = Vllm.BeamSearchParams.new(beam_search_params)
  """
  @doc group: :parameters
  @spec new(Vllm.BeamSearchParams.t() | keyword() | map()) ::
          {:ok, Vllm.BeamSearchParams.t()} | {:error, Error.t()}
  def new(beam_search_params) do
    Call.invoke_class("BeamSearchParams", "new", 1, [beam_search_params])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(
          worker() | Vllm.BeamSearchParams.t() | keyword() | map(),
          Vllm.BeamSearchParams.t() | keyword() | map() | Call.args_or_opts()
        ) :: {:ok, Vllm.BeamSearchParams.t()} | {:error, Error.t()}
  def new(worker_or_beam_search_params, beam_search_params_or_opts) do
    Call.invoke_class("BeamSearchParams", "new", 1, [
      worker_or_beam_search_params,
      beam_search_params_or_opts
    ])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(
          worker() | Vllm.BeamSearchParams.t() | keyword() | map(),
          Vllm.BeamSearchParams.t() | keyword() | map() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, Vllm.BeamSearchParams.t()} | {:error, Error.t()}
  def new(worker_or_beam_search_params, beam_search_params_or_args, args_or_opts) do
    Call.invoke_class("BeamSearchParams", "new", 1, [
      worker_or_beam_search_params,
      beam_search_params_or_args,
      args_or_opts
    ])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(worker(), Vllm.BeamSearchParams.t() | keyword() | map(), [term()], keyword()) ::
          {:ok, Vllm.BeamSearchParams.t()} | {:error, Error.t()}
  def new(worker, beam_search_params, args, opts) do
    Call.invoke_class("BeamSearchParams", "new", 1, [worker, beam_search_params, args, opts])
  end

  @doc """
  Returns all fields as vLLM has them, once it has made a `BeamSearchParams` of those that are
  given.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `beam_search_params` - `t:Vllm.BeamSearchParams.t/0`, a keyword list or a map

  ## Returns

  A map by name. Objects in it, such as configurations, are maps too.

  ## Errors

    * `:invalid` - an unknown field, a wrong type, or values that vLLM refuses; `details` has
      the `parameter` and its `value`, and `values` where several contradict each other
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, value} = Vllm.BeamSearchParams.to_map(beam_search_params)
  """
  @doc group: :parameters
  @spec to_map(Vllm.BeamSearchParams.t() | keyword() | map()) ::
          {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(beam_search_params) do
    Call.invoke_class("BeamSearchParams", "to_map", 1, [beam_search_params])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(
          worker() | Vllm.BeamSearchParams.t() | keyword() | map(),
          Vllm.BeamSearchParams.t() | keyword() | map() | Call.args_or_opts()
        ) :: {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker_or_beam_search_params, beam_search_params_or_opts) do
    Call.invoke_class("BeamSearchParams", "to_map", 1, [
      worker_or_beam_search_params,
      beam_search_params_or_opts
    ])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(
          worker() | Vllm.BeamSearchParams.t() | keyword() | map(),
          Vllm.BeamSearchParams.t() | keyword() | map() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker_or_beam_search_params, beam_search_params_or_args, args_or_opts) do
    Call.invoke_class("BeamSearchParams", "to_map", 1, [
      worker_or_beam_search_params,
      beam_search_params_or_args,
      args_or_opts
    ])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(worker(), Vllm.BeamSearchParams.t() | keyword() | map(), [term()], keyword()) ::
          {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker, beam_search_params, args, opts) do
    Call.invoke_class("BeamSearchParams", "to_map", 1, [worker, beam_search_params, args, opts])
  end

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
