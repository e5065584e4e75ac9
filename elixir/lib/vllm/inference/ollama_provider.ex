defmodule Vllm.Inference.OllamaProvider do
  @moduledoc """
  A server of Ollama's, or another that speaks its `/v1`, such as llama.cpp's own.

  It has no adapters: `adapter_id` is ignored with a warning in the worker's log. Make a model with the
  adapter instead, with `ollama create`.

  `repetition_penalty` is sent as `repeat_penalty`, as llama.cpp and Ollama call it. Ollama's own `/v1`
  does not read it; set it in the model's Modelfile there.
  """

  alias Vllm.{Error, Inference, Ref}
  alias Vllm.Core.Inference.Settings
  alias Vllm.Inference.Provider

  @behaviour Provider

  @doc """
  Makes a provider that is in no cache. The default URL is `http://localhost:11434/v1`.

  ## Options

  #{Settings.docs(:place)}
  """
  @spec new(String.t() | nil, keyword()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def new(base_url \\ nil, opts \\ []),
    do: Inference.new("OllamaProvider", [base_url: base_url], opts)

  @doc "See `Vllm.Inference.generate/4`."
  @impl Provider
  defdelegate generate(provider, prompt, model, opts \\ []), to: Inference

  @doc "Returns the error `:unsupported`."
  @impl Provider
  defdelegate load_adapter(provider, adapter_id, path, opts \\ []), to: Inference

  @doc "Returns the error `:unsupported`."
  @impl Provider
  defdelegate unload_adapter(provider, adapter_id, opts \\ []), to: Inference

  @doc "Returns an empty list."
  @impl Provider
  defdelegate list_adapters(provider, opts \\ []), to: Inference
end
