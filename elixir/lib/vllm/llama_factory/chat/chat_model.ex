defmodule Vllm.LlamaFactory.Chat.ChatModel do
  @moduledoc """
  LLaMA-Factory's `ChatModel`: a `Vllm.LlamaFactory.Chat.VllmEngine` from one map of all arguments.

      {:ok, model} = ChatModel.new(model_name_or_path: "Qwen/Qwen3-0.6B", template: "qwen3")
      {:ok, stream} = ChatModel.stream_chat(model, "Tell me a story")
      Enum.each(stream, &IO.write/1)

  All functions of `Vllm.LlamaFactory.Chat.VllmEngine` take its references too. The functions whose
  names begin with `a` are the same as those without: in Elixir any process may call and wait.
  """

  alias Vllm.Core.LlamaFactory.{Arguments, Settings}
  alias Vllm.{Error, Ref}
  alias Vllm.LlamaFactory.Chat.VllmEngine

  @doc """
  Makes one from the arguments of LLaMA-Factory, in one map. `infer_backend` is `"vllm"`, which it is
  without it too: others are the error `:unsupported`.

  ## Options

  #{Settings.docs(:new)}
  """
  @spec new(VllmEngine.fields(), keyword()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def new(args, opts \\ []) do
    with {:ok, args} <- Arguments.fields(args, "args"),
         do: VllmEngine.make("ChatModel", "resolve_args", [args: args], opts)
  end

  @doc "See `Vllm.LlamaFactory.Chat.VllmEngine.chat/3`."
  defdelegate chat(model, messages, opts \\ []), to: VllmEngine

  @doc "See `Vllm.LlamaFactory.Chat.VllmEngine.stream_chat/3`."
  defdelegate stream_chat(model, messages, opts \\ []), to: VllmEngine

  @doc "See `Vllm.LlamaFactory.Chat.VllmEngine.get_scores/3`."
  defdelegate get_scores(model, batch_input, opts \\ []), to: VllmEngine

  @doc "See `chat/3`."
  defdelegate achat(model, messages, opts \\ []), to: VllmEngine, as: :chat

  @doc "See `stream_chat/3`."
  defdelegate astream_chat(model, messages, opts \\ []), to: VllmEngine, as: :stream_chat

  @doc "See `get_scores/3`."
  defdelegate aget_scores(model, batch_input, opts \\ []), to: VllmEngine, as: :get_scores

  @doc "See `Vllm.LlamaFactory.Chat.VllmEngine.shutdown/2`."
  defdelegate shutdown(model, opts \\ []), to: VllmEngine
end
