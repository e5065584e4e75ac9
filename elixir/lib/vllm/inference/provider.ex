defmodule Vllm.Inference.Provider do
  @moduledoc """
  What every provider can do: the behaviour of the modules `Vllm.Inference.VLLMProvider` and so on,
  and of those that an application writes itself.

      defmodule Echo do
        @behaviour Vllm.Inference.Provider

        alias Vllm.{Error, Inference.GenerationResult}

        @impl true
        def generate(prefix, prompt, model, _opts),
          do: {:ok, %GenerationResult{text: prefix <> prompt, model: model}}

        @impl true
        def load_adapter(_prefix, _id, _path, _opts), do: unsupported()

        @impl true
        def unload_adapter(_prefix, _id, _opts), do: unsupported()

        @impl true
        def list_adapters(_prefix, _opts), do: {:ok, []}

        defp unsupported,
          do: {:error, %Error{kind: :unsupported, message: "Echo has no adapters"}}
      end

      {:ok, %{text: "> Hello"}} = Vllm.Inference.generate({Echo, "> "}, "Hello", "none")

  The first argument of each callback is the second element of such a pair; for the providers of a
  worker it is their reference. The options are those of the functions of `Vllm.Inference`, checked.
  """

  alias Vllm.{Error, Inference.GenerationResult, Ref}

  @typedoc "A provider: the reference of one in a worker, or a module with what it needs."
  @type t :: Ref.t() | {module(), term()}

  @doc "Generates a text; see `Vllm.Inference.generate/4`."
  @callback generate(term(), prompt :: String.t(), model :: String.t(), keyword()) ::
              {:ok, GenerationResult.t()} | {:error, Error.t()}

  @doc "Makes an adapter known under an id; see `Vllm.Inference.load_adapter/4`."
  @callback load_adapter(term(), adapter_id :: String.t(), path :: String.t(), keyword()) ::
              {:ok, nil} | {:error, Error.t()}

  @doc "Forgets an adapter; see `Vllm.Inference.unload_adapter/3`."
  @callback unload_adapter(term(), adapter_id :: String.t(), keyword()) ::
              {:ok, nil} | {:error, Error.t()}

  @doc "The ids of the adapters, sorted; see `Vllm.Inference.list_adapters/2`."
  @callback list_adapters(term(), keyword()) :: {:ok, [String.t()]} | {:error, Error.t()}
end
