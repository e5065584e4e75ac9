defmodule Vllm.Inference.TransformersProvider do
  @moduledoc """
  A model of Transformers on the worker's machine, with adapters of PEFT.

  Texts are made one after the other, in a thread of the provider's own. A text that is given up ends
  after its next token.

  Where an override is not given, it is that of the worker's environment: `RUNE_TEMPERATURE` (0.25),
  `RUNE_TOP_P` (0.9) and `RUNE_REPETITION_PENALTY` (1.04). The system prompt becomes a part of the
  user's message, because some chat templates refuse one. Of a prompt of more than 8,192 tokens only
  the beginning counts.

  All adapters share one wrapper of PEFT's. One that does not fit the model, or that has a weight which
  is no number, is an error; PEFT itself would ignore it with a warning.
  """

  alias Vllm.{Error, Inference, Ref}
  alias Vllm.Core.Inference.Settings
  alias Vllm.Inference.Provider

  @behaviour Provider

  @doc """
  Makes a provider that is in no cache.

  ## Options

    * `:model_name` - a folder, or a name on a hub
    * `:device` - such as `"cpu"` or `"cuda:0"`. Defaults to `"cpu"`.
    * `:torch_dtype` - `"float32"`, `"bfloat16"`, `"float16"`, or `"auto"`: the model's own on a CPU,
      elsewhere what `resolve_dtype/3` says. Defaults to `"auto"`.
  #{Settings.docs(:place)}
  """
  @spec new(keyword()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def new(opts) do
    with {:ok, arguments, opts} <- Settings.split(opts, [:model_name, :device, :torch_dtype]),
         do: Inference.new("TransformersProvider", arguments, opts)
  end

  @doc """
  The dtype of the weights that fits the free memory of a device that is no CPU.

  ## Options

  #{Settings.docs(:place)}
  """
  @spec resolve_dtype(non_neg_integer(), non_neg_integer(), keyword()) ::
          {:ok, String.t()} | {:error, Error.t()}
  def resolve_dtype(param_count, memory_bytes, opts \\ []) do
    arguments = [param_count: param_count, memory_bytes: memory_bytes]

    with {:ok, settings} <- Settings.validate(:place, opts),
         do: Inference.on_instance("Inference", "resolve_dtype", arguments, settings)
  end

  @doc "See `Vllm.Inference.generate/4`."
  @impl Provider
  defdelegate generate(provider, prompt, model, opts \\ []), to: Inference

  @doc "See `Vllm.Inference.load_adapter/4`."
  @impl Provider
  defdelegate load_adapter(provider, adapter_id, path, opts \\ []), to: Inference

  @doc "See `Vllm.Inference.unload_adapter/3`."
  @impl Provider
  defdelegate unload_adapter(provider, adapter_id, opts \\ []), to: Inference

  @doc "See `Vllm.Inference.list_adapters/2`."
  @impl Provider
  defdelegate list_adapters(provider, opts \\ []), to: Inference
end
