defmodule Vllm.Inference.AsyncLLMProvider do
  @moduledoc """
  An engine of the worker: a `Vllm.AsyncLLM` that other callers may use at the same time.

  There is no server to run, to secure and to supervise, no HTTP on the way, and no second copy of the
  model. Requests are batched with those of all other callers. What would harm the engine is refused,
  and an engine's death is told at once, as for `Vllm.AsyncLLM`. Take `VLLMProvider` where the model is
  on another machine.

  A text is an answer of `Vllm.chat/3`. `model` is the name of the engine's model; an empty string
  stands for it.

  Adapters need an engine with `enable_lora: true`. Each provider has its own: two with the same id do
  not meet in the engine, and `get_provider/3` gives all callers of an engine the same provider. When
  the last reference of the provider is gone, its adapters are unloaded.
  """

  alias Vllm.{Error, Inference, Ref}
  alias Vllm.Core.Inference.Settings
  alias Vllm.Inference.Provider

  @behaviour Provider

  @doc """
  Makes a provider that is in no cache, for an engine by its reference or by the name under which an
  instance declares it.

  ## Options

  #{Settings.docs(:place)}
  """
  @spec new(Ref.t() | atom(), keyword()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def new(engine, opts \\ []) do
    with {:ok, engine} <- Inference.engine(engine, opts) do
      # The provider has to be where the engine is.
      opts = if Keyword.keyword?(opts), do: Keyword.put(opts, :instance, engine), else: opts
      Inference.new("AsyncLLMProvider", [engine: engine], opts)
    end
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
