defmodule Vllm.LangChain do
  @moduledoc """
  A chat model for [LangChain](https://hexdocs.pm/langchain) that answers with an engine.

      defmodule MyApp.ChatVllm do
        use Vllm.LangChain
      end

      model = MyApp.ChatVllm.new!(%{engine: {MyApp.Vllm, :llama}, options: [max_tokens: 200]})

      {:ok, chain} =
        %{llm: model}
        |> LangChain.Chains.LLMChain.new!()
        |> LangChain.Chains.LLMChain.add_message(LangChain.Message.new_user!("Why is the sky blue?"))
        |> LangChain.Chains.LLMChain.run()

  LangChain is no dependency of this library. `use` compiles the model in the application, which has
  LangChain, and gives it the callbacks of `LangChain.ChatModels.ChatModel` and these functions:

    * `new/1` - `{:ok, model}` or `{:error, %LangChain.LangChainError{}}`
    * `new!/1` - the model, or raises

  Both take a map with these fields:

  #{Vllm.Core.Integrations.LangChainConfig.docs()}
  Functions of a chain are given to the model as tools, and the chain runs them; name how the model
  writes calls with `options: [tool_parser: "hermes"]`, see `Vllm.Chat`. Only the arguments of a function
  with `strict: true` are held to its schema, which is not LangChain's default. With `stream: true` every delta
  goes to the callback `on_llm_new_delta`, in a list. The tokens are in the `metadata` of the message or
  of the last delta, from where the chain takes them for `on_llm_token_usage`. Of several choices (`n`) only the first is streamed.

  An error has the kind of the `Vllm.Error` as its type, such as `"overloaded"`, and the error itself as
  `original`. After those that another model may not have, `with_fallbacks:` tries the next model.

  A model is stored without its engine if that is a reference, so give `{instance, name}`. Telemetry is
  that of this library, see `Vllm.Telemetry`; the events `[:langchain, :llm, …]` are not emitted.

  It wants LangChain 0.9 or later, and was tested against stand-ins with the callbacks and structs of
  LangChain 0.9.7.
  """

  alias Vllm.Core.Integrations.{EngineName, LangChainAnswers, LangChainConfig, LangChainRequests}
  alias Vllm.{Chat, Error}

  @doc "Makes the module a chat model of LangChain's, see above."
  defmacro __using__(_options) do
    quote do
      @behaviour LangChain.ChatModels.ChatModel

      @enforce_keys [:engine]
      defstruct engine: nil, options: [], stream: false, callbacks: []

      @type t :: %__MODULE__{}

      @doc "Builds a chat model from a map of its fields, see `Vllm.LangChain`."
      @spec new(map()) :: {:ok, t()} | {:error, LangChain.LangChainError.t()}
      def new(fields), do: Vllm.LangChain.__new__(__MODULE__, fields)

      @doc "As `new/1`, and raises."
      @spec new!(map()) :: t()
      def new!(fields) do
        case new(fields) do
          {:ok, model} -> model
          {:error, error} -> raise error
        end
      end

      @impl LangChain.ChatModels.ChatModel
      def call(model, messages, functions \\ []) do
        Vllm.LangChain.__call__(model, messages, functions)
      rescue
        # What a callback raises.
        error in LangChain.LangChainError -> {:error, error}
      end

      @impl LangChain.ChatModels.ChatModel
      def provider, do: "vllm"

      @impl LangChain.ChatModels.ChatModel
      defdelegate retry_on_fallback?(error), to: Vllm.LangChain, as: :__retry__

      @impl LangChain.ChatModels.ChatModel
      defdelegate serialize_config(model), to: Vllm.LangChain, as: :__serialize__

      @impl LangChain.ChatModels.ChatModel
      def restore_from_map(map), do: Vllm.LangChain.__restore__(__MODULE__, map)
    end
  end

  @doc false
  def __new__(module, fields) do
    case LangChainConfig.check(fields) do
      {:ok, fields} -> {:ok, struct!(module, fields)}
      {:error, error} -> {:error, LangChainAnswers.error(error)}
    end
  end

  @doc false
  def __call__(model, messages, functions) do
    with {:ok, messages} <- LangChainRequests.messages(messages),
         {:ok, engine} <- EngineName.fetch(model.engine) do
      ask(model, engine, messages, options(model, functions))
    else
      {:error, error} -> {:error, LangChainAnswers.error(error)}
    end
  end

  @doc false
  defdelegate __retry__(error), to: LangChainAnswers, as: :elsewhere?

  @doc false
  defdelegate __serialize__(model), to: LangChainConfig, as: :to_map

  @doc false
  def __restore__(module, map) do
    with {:ok, fields} <- LangChainConfig.from_map(map), do: {:ok, struct!(module, fields)}
  end

  defp options(model, functions) do
    case LangChainRequests.tools(functions) do
      [] -> model.options
      tools -> model.options ++ [tools: tools]
    end
  end

  defp ask(%{stream: false} = model, engine, messages, options) do
    with {:ok, completion} <- Chat.chat(engine, messages, options),
         {:ok, messages} <- LangChainAnswers.messages(completion) do
      fire(model, :on_llm_new_message, messages)
      {:ok, messages}
    else
      {:error, %Error{} = error} -> {:error, LangChainAnswers.error(error)}
      {:error, error} -> {:error, error}
    end
  end

  defp ask(model, engine, messages, options) do
    case Chat.stream_chat(engine, messages, options) do
      {:ok, stream} -> {:ok, deltas(model, stream)}
      {:error, error} -> {:error, LangChainAnswers.error(error)}
    end
  rescue
    # What ends the stream.
    error in Error -> {:error, LangChainAnswers.error(error)}
  end

  defp deltas(model, stream) do
    {deltas, _place} =
      Enum.flat_map_reduce(stream, LangChainAnswers.first_place(), fn delta, place ->
        {deltas, place} = LangChainAnswers.deltas(delta, place)
        if deltas != [], do: fire(model, :on_llm_new_delta, deltas)
        {deltas, place}
      end)

    deltas
  end

  # LangChain is no dependency.
  defp fire(%{callbacks: callbacks}, name, value),
    do: apply(LangChain.Callbacks, :fire, [callbacks, name, [value]])
end
