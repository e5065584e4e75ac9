defmodule Vllm.Inference.LlamaCppProvider do
  @moduledoc """
  A GGUF file, run by llama.cpp on the worker's machine.

  llama.cpp runs in a process of its own, because it ends its process at settings that it does not
  expect. If that happens, or memory runs out, the text is an `:engine_error` that says why; the engines
  of the worker go on, and the next text starts llama.cpp again.

  The library is xllamacpp, which `mix vllm.setup --with providers` installs. Where it cannot be imported,
  llama-cpp-python is used if that is installed in the worker's environment.

  Texts are made one after the other. They are completions of the prompt, without a chat template, and
  end at three backticks with a line break, and at two empty lines. A text with another adapter than
  the one before loads the model again.
  """

  alias Vllm.{Error, Inference, Ref}
  alias Vllm.Core.Inference.Settings
  alias Vllm.Inference.Provider

  @behaviour Provider

  @doc """
  Makes a provider that is in no cache.

  ## Options

    * `:model_path` - the GGUF file
    * `:n_ctx` - how many tokens prompt and text may have together, at most #{2 ** 20}; 0 for what the
      model allows. Defaults to `4096`.
    * `:n_gpu_layers` - how many layers are on a GPU; `-1` for all. Defaults to `-1`.
  #{Settings.docs(:place)}
  """
  @spec new(keyword()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def new(opts) do
    with {:ok, arguments, opts} <-
           Settings.split(opts, [:model_path, :n_ctx, :n_gpu_layers]),
         do: Inference.new("LlamaCppProvider", arguments, opts)
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
