defmodule Vllm.Inference.VLLMProvider do
  @moduledoc """
  A server of vLLM's, `vllm serve`, on this machine or another.

  Adapters are loaded and unloaded while the server runs. For that it needs `--enable-lora`,
  `VLLM_ALLOW_RUNTIME_LORA_UPDATING=1` in its environment, and one API server. The path of an adapter
  is one of the server's machine. The server is not asked which adapters it has: `list_adapters/2` is
  the list of those that were loaded with this provider.

  A text with an adapter has the adapter's id in place of the model's name. All overrides are sent.

  On a CPU the server itself mixes adapters up: a text without an adapter is written with another
  request's adapter when both are computed at once. That is an error of vLLM's, which an engine of a
  worker does not have; see the guide *Inference providers*.
  """

  alias Vllm.{Error, Inference, Ref}
  alias Vllm.Core.Inference.Settings
  alias Vllm.Inference.Provider

  @behaviour Provider

  @doc """
  Makes a provider that is in no cache. The default URL is `http://localhost:8100/v1`.

  ## Options

  #{Settings.docs(:place)}
  """
  @spec new(String.t() | nil, keyword()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def new(base_url \\ nil, opts \\ []),
    do: Inference.new("VLLMProvider", [base_url: base_url], opts)

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
