# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.LoRARequest do
  @moduledoc """
  Request for a LoRA adapter.

  lora_int_id must be globally unique for a given adapter. This is currently not enforced in
  vLLM.

  In Python: `vllm.lora.request.LoRARequest`, whose words these are: its `None` is `nil` here.
  A keyword list or a map with these keys is accepted wherever this struct is.

  ## Example

      iex> %Vllm.LoRARequest{lora_name: "sql", lora_int_id: 1, lora_path: "/adapters/sql"}.load_inplace
      false

  ## Fields

    * `:lora_name` - `str`, required. Name of the adapter.
    * `:lora_int_id` - `int`, required. Id of the adapter, above zero: one id for each adapter.
    * `:lora_path` - `str`, default `""`. Folder of the adapter, on the worker's machine.
    * `:base_model_name` - `str or None`, default `nil`. Name of the model the adapter was made
      for.
    * `:load_inplace` - `bool`, default `false`. If True, forces reloading the adapter even if
      one with the same lora_int_id already exists in the cache. This replaces the existing
      adapter in-place. If False (default), only loads if the adapter is not already loaded.
    * `:is_3d_lora_weight` - `bool`, default `false`. Whether this adapter's MoE weights are
      stored in the 3D fused `gate_up_proj` / `down_proj` layout (one fused tensor per layer) or
      the 2D per-expert split layout (separate `gate_proj` / `up_proj` / `down_proj` tensors per
      expert). Only consulted when the engine is started with
      `enable_mixed_moe_lora_format=True`; otherwise it is ignored and the on-disk format is
      inferred from the base model.
  """

  alias Vllm.{Call, Error, Ref}

  @typep worker :: Vllm.instance() | Ref.t()

  @type t :: %__MODULE__{
          lora_name: String.t(),
          lora_int_id: integer(),
          lora_path: String.t(),
          base_model_name: String.t() | nil,
          load_inplace: boolean(),
          is_3d_lora_weight: boolean()
        }

  defstruct lora_name: nil,
            lora_int_id: nil,
            lora_path: "",
            base_model_name: nil,
            load_inplace: false,
            is_3d_lora_weight: false

  @doc """
  Checks fields as vLLM's `LoRARequest` does, in the worker, and returns them as a struct.

  Calls check them too, so this is for those who want to know before. The struct holds what
  was given; `to_map` says what vLLM makes of it. A struct is a value: what Python's `clone`
  copies needs no copy here.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `lora_request` - `t:Vllm.LoRARequest.t/0`, a keyword list or a map

  ## Returns

  The struct.

  ## Errors

    * `:invalid` - an unknown field, a wrong type, or values that vLLM refuses; `details` has
      the `parameter` and its `value`, and `values` where several contradict each other
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, value} = Vllm.LoRARequest.new(lora_request)
  """
  @doc group: :parameters
  @spec new(Vllm.LoRARequest.t() | keyword() | map()) ::
          {:ok, Vllm.LoRARequest.t()} | {:error, Error.t()}
  def new(lora_request) do
    Call.invoke_class("LoRARequest", "new", 1, [lora_request])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(
          worker() | Vllm.LoRARequest.t() | keyword() | map(),
          Vllm.LoRARequest.t() | keyword() | map() | Call.args_or_opts()
        ) :: {:ok, Vllm.LoRARequest.t()} | {:error, Error.t()}
  def new(worker_or_lora_request, lora_request_or_opts) do
    Call.invoke_class("LoRARequest", "new", 1, [worker_or_lora_request, lora_request_or_opts])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(
          worker() | Vllm.LoRARequest.t() | keyword() | map(),
          Vllm.LoRARequest.t() | keyword() | map() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, Vllm.LoRARequest.t()} | {:error, Error.t()}
  def new(worker_or_lora_request, lora_request_or_args, args_or_opts) do
    Call.invoke_class("LoRARequest", "new", 1, [
      worker_or_lora_request,
      lora_request_or_args,
      args_or_opts
    ])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(worker(), Vllm.LoRARequest.t() | keyword() | map(), [term()], keyword()) ::
          {:ok, Vllm.LoRARequest.t()} | {:error, Error.t()}
  def new(worker, lora_request, args, opts) do
    Call.invoke_class("LoRARequest", "new", 1, [worker, lora_request, args, opts])
  end

  @doc """
  Returns all fields as vLLM has them, once it has made a `LoRARequest` of those that are
  given.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `lora_request` - `t:Vllm.LoRARequest.t/0`, a keyword list or a map

  ## Returns

  A map by name. Objects in it, such as configurations, are maps too.

  ## Errors

    * `:invalid` - an unknown field, a wrong type, or values that vLLM refuses; `details` has
      the `parameter` and its `value`, and `values` where several contradict each other
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, value} = Vllm.LoRARequest.to_map(lora_request)
  """
  @doc group: :parameters
  @spec to_map(Vllm.LoRARequest.t() | keyword() | map()) ::
          {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(lora_request) do
    Call.invoke_class("LoRARequest", "to_map", 1, [lora_request])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(
          worker() | Vllm.LoRARequest.t() | keyword() | map(),
          Vllm.LoRARequest.t() | keyword() | map() | Call.args_or_opts()
        ) :: {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker_or_lora_request, lora_request_or_opts) do
    Call.invoke_class("LoRARequest", "to_map", 1, [worker_or_lora_request, lora_request_or_opts])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(
          worker() | Vllm.LoRARequest.t() | keyword() | map(),
          Vllm.LoRARequest.t() | keyword() | map() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker_or_lora_request, lora_request_or_args, args_or_opts) do
    Call.invoke_class("LoRARequest", "to_map", 1, [
      worker_or_lora_request,
      lora_request_or_args,
      args_or_opts
    ])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(worker(), Vllm.LoRARequest.t() | keyword() | map(), [term()], keyword()) ::
          {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker, lora_request, args, opts) do
    Call.invoke_class("LoRARequest", "to_map", 1, [worker, lora_request, args, opts])
  end

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
