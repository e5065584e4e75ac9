# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.StructuredOutputsParams do
  @moduledoc """
  Makes the output follow a format. Exactly one of `json`, `regex`, `choice`, `grammar`,
  `json_object` and `structural_tag` must be set.

  In Python: `vllm.sampling_params.StructuredOutputsParams`, whose words these are: its `None`
  is `nil` here. A keyword list or a map with these keys is accepted wherever this struct is.

  ## Example

      iex> format = %Vllm.StructuredOutputsParams{choice: ["yes", "no"]}
      iex> %Vllm.SamplingParams{structured_outputs: format}.structured_outputs.choice
      ["yes", "no"]

  ## Fields

    * `:json` - `str or dict or None`, default `nil`. A JSON schema, as a map or as text.
    * `:regex` - `str or None`, default `nil`. A regular expression that the whole output
      matches.
    * `:choice` - `list[str] or None`, default `nil`. The strings from which the output is
      chosen.
    * `:grammar` - `str or None`, default `nil`. A context-free grammar, in EBNF or Lark syntax.
    * `:json_object` - `bool or None`, default `nil`. Any JSON object will do.
    * `:disable_any_whitespace` - `bool`, default `false`. Whether JSON is written without
      optional whitespace.
    * `:disable_additional_properties` - `bool`, default `false`. Whether objects have the
      schema's properties only.
    * `:whitespace_pattern` - `str or None`, default `nil`. A regular expression for whitespace
      between the parts of JSON.
    * `:structural_tag` - `str or None`, default `nil`. A structural tag, as JSON text: formats
      that hold within tags only.
  """

  alias Vllm.{Call, Error, Ref}

  @typep worker :: Vllm.instance() | Ref.t()

  @type t :: %__MODULE__{
          json: String.t() | map() | nil,
          regex: String.t() | nil,
          choice: [String.t()] | nil,
          grammar: String.t() | nil,
          json_object: boolean() | nil,
          disable_any_whitespace: boolean(),
          disable_additional_properties: boolean(),
          whitespace_pattern: String.t() | nil,
          structural_tag: String.t() | nil
        }

  defstruct json: nil,
            regex: nil,
            choice: nil,
            grammar: nil,
            json_object: nil,
            disable_any_whitespace: false,
            disable_additional_properties: false,
            whitespace_pattern: nil,
            structural_tag: nil

  @doc """
  Checks fields as vLLM's `StructuredOutputsParams` does, in the worker, and returns them as a
  struct.

  Calls check them too, so this is for those who want to know before. The struct holds what
  was given; `to_map` says what vLLM makes of it. A struct is a value: what Python's `clone`
  copies needs no copy here.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `structured_outputs_params` - `t:Vllm.StructuredOutputsParams.t/0`, a keyword list or a
      map

  ## Returns

  The struct.

  ## Errors

    * `:invalid` - an unknown field, a wrong type, or values that vLLM refuses; `details` has
      the `parameter` and its `value`, and `values` where several contradict each other
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, value} = Vllm.StructuredOutputsParams.new(structured_outputs_params)
  """
  @doc group: :parameters
  @spec new(Vllm.StructuredOutputsParams.t() | keyword() | map()) ::
          {:ok, Vllm.StructuredOutputsParams.t()} | {:error, Error.t()}
  def new(structured_outputs_params) do
    Call.invoke_class("StructuredOutputsParams", "new", 1, [structured_outputs_params])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(
          worker() | Vllm.StructuredOutputsParams.t() | keyword() | map(),
          Vllm.StructuredOutputsParams.t() | keyword() | map() | Call.args_or_opts()
        ) :: {:ok, Vllm.StructuredOutputsParams.t()} | {:error, Error.t()}
  def new(worker_or_structured_outputs_params, structured_outputs_params_or_opts) do
    Call.invoke_class("StructuredOutputsParams", "new", 1, [
      worker_or_structured_outputs_params,
      structured_outputs_params_or_opts
    ])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(
          worker() | Vllm.StructuredOutputsParams.t() | keyword() | map(),
          Vllm.StructuredOutputsParams.t() | keyword() | map() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, Vllm.StructuredOutputsParams.t()} | {:error, Error.t()}
  def new(worker_or_structured_outputs_params, structured_outputs_params_or_args, args_or_opts) do
    Call.invoke_class("StructuredOutputsParams", "new", 1, [
      worker_or_structured_outputs_params,
      structured_outputs_params_or_args,
      args_or_opts
    ])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(worker(), Vllm.StructuredOutputsParams.t() | keyword() | map(), [term()], keyword()) ::
          {:ok, Vllm.StructuredOutputsParams.t()} | {:error, Error.t()}
  def new(worker, structured_outputs_params, args, opts) do
    Call.invoke_class("StructuredOutputsParams", "new", 1, [
      worker,
      structured_outputs_params,
      args,
      opts
    ])
  end

  @doc """
  Returns all fields as vLLM has them, once it has made a `StructuredOutputsParams` of those
  that are given.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `structured_outputs_params` - `t:Vllm.StructuredOutputsParams.t/0`, a keyword list or a
      map

  ## Returns

  A map by name. Objects in it, such as configurations, are maps too.

  ## Errors

    * `:invalid` - an unknown field, a wrong type, or values that vLLM refuses; `details` has
      the `parameter` and its `value`, and `values` where several contradict each other
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, value} = Vllm.StructuredOutputsParams.to_map(structured_outputs_params)
  """
  @doc group: :parameters
  @spec to_map(Vllm.StructuredOutputsParams.t() | keyword() | map()) ::
          {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(structured_outputs_params) do
    Call.invoke_class("StructuredOutputsParams", "to_map", 1, [structured_outputs_params])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(
          worker() | Vllm.StructuredOutputsParams.t() | keyword() | map(),
          Vllm.StructuredOutputsParams.t() | keyword() | map() | Call.args_or_opts()
        ) :: {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker_or_structured_outputs_params, structured_outputs_params_or_opts) do
    Call.invoke_class("StructuredOutputsParams", "to_map", 1, [
      worker_or_structured_outputs_params,
      structured_outputs_params_or_opts
    ])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(
          worker() | Vllm.StructuredOutputsParams.t() | keyword() | map(),
          Vllm.StructuredOutputsParams.t() | keyword() | map() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker_or_structured_outputs_params, structured_outputs_params_or_args, args_or_opts) do
    Call.invoke_class("StructuredOutputsParams", "to_map", 1, [
      worker_or_structured_outputs_params,
      structured_outputs_params_or_args,
      args_or_opts
    ])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(
          worker(),
          Vllm.StructuredOutputsParams.t() | keyword() | map(),
          [term()],
          keyword()
        ) :: {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker, structured_outputs_params, args, opts) do
    Call.invoke_class("StructuredOutputsParams", "to_map", 1, [
      worker,
      structured_outputs_params,
      args,
      opts
    ])
  end

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
