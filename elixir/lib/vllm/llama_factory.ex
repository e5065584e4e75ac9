defmodule Vllm.LlamaFactory do
  @moduledoc """
  LLaMA-Factory's inference: its own classes in the worker, on engines that others may use too.

      alias Vllm.LlamaFactory.Chat.ChatModel

      {:ok, model} = ChatModel.new(model_name_or_path: "Qwen/Qwen3-0.6B", template: "qwen3")
      {:ok, [response]} = ChatModel.chat(model, [%{role: "user", content: "Hello"}])
      response.response_text

  `mix vllm.setup --with llama-factory` installs it. Without it every call is an error of the kind
  `:missing_dependency`.

  | module | in Python |
  | --- | --- |
  | `Vllm.LlamaFactory.Chat.VllmEngine` | `llamafactory.chat.vllm_engine.VllmEngine` |
  | `Vllm.LlamaFactory.Chat.ChatModel` | `llamafactory.chat.ChatModel` |
  | `Vllm.LlamaFactory.Response` | `llamafactory.chat.base_engine.Response` |
  | `Vllm.LlamaFactory.VllmInfer` | `scripts/vllm_infer.py` |
  | `Vllm.LlamaFactory.Tools` | `llamafactory.data.tool_utils` |

  The guide *LLaMA-Factory* says what differs and why.
  """

  alias Vllm.{Call, Error, Ref}
  alias Vllm.Core.LlamaFactory.Settings

  @doc """
  The names of the templates, sorted.

  ## Options

  #{Settings.docs(:place)}
  """
  @spec templates(keyword()) :: {:ok, [String.t()]} | {:error, Error.t()}
  def templates(opts \\ []) do
    with {:ok, settings} <- Settings.validate(:place, opts),
         do: on_instance("LlamaFactory", "templates", [], settings)
  end

  @doc false
  @spec on_instance(String.t(), String.t(), keyword(), map()) :: Call.result(term())
  def on_instance(class, method, arguments, settings) do
    place = List.wrap(settings.instance)
    Call.invoke_class(class, method, 0, place ++ [arguments, [rpc: settings.rpc]])
  end

  @doc false
  # An engine by its reference, or by the name with which an instance declares it; nil for none.
  @spec engine(map()) :: {:ok, Ref.t() | nil} | {:error, Error.t()}
  def engine(%{engine: nil}), do: {:ok, nil}
  def engine(%{engine: %Ref{} = engine}), do: {:ok, engine}

  def engine(%{engine: name} = settings) when is_atom(name) and name not in [true, false],
    do: Vllm.engine(settings.instance || Vllm.Default, name, settings.timeout)

  def engine(_settings) do
    message = "engine: wants the Vllm.Ref of an AsyncLLM, or the name of an engine"
    {:error, Error.new(:invalid, message, details: %{"parameter" => "engine"})}
  end
end
