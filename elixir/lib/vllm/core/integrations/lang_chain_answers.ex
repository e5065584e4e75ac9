defmodule Vllm.Core.Integrations.LangChainAnswers do
  @moduledoc false
  # From answers of `Vllm.chat/3` and `Vllm.stream_chat/3` to LangChain's messages, deltas and errors.
  #
  # LangChain is no dependency: its structs are made by its own functions, which check them, and which
  # are called by `apply/3`.

  alias Vllm.{ChatChoice, ChatCompletion, ChatDelta, Error}

  @finished %{"stop" => :complete, "tool_calls" => :complete, "length" => :length}

  # Kinds of errors after which another model may answer the same chat.
  @elsewhere ~w(overloaded timeout engine_dead engine_error worker_down draining unreachable)

  @doc "The message of each choice."
  @spec messages(ChatCompletion.t()) :: {:ok, [struct()]} | {:error, Exception.t()}
  def messages(%ChatCompletion{choices: choices, usage: usage}) do
    {:ok, for(choice <- choices, do: message(choice, usage))}
  catch
    {:refused, changeset} -> {:error, apply(LangChain.LangChainError, :exception, [changeset])}
  end

  defp usage(usage) do
    make(LangChain.TokenUsage, %{
      input: usage.prompt_tokens,
      output: usage.completion_tokens,
      raw: raw(usage),
      # It counts the whole message, also when it comes with the last delta.
      cumulative: true
    })
  end

  @doc "The place of the text in a streamed message, before any reasoning has come."
  @spec first_place() :: non_neg_integer()
  def first_place, do: 0

  @doc """
  What LangChain takes of a delta of ours: nothing of further choices. `place` is that of the text among
  the parts of the message, and is returned for the next delta: reasoning is the part before the text.
  """
  @spec deltas(ChatDelta.t(), non_neg_integer()) :: {[struct()], non_neg_integer()}
  def deltas(%ChatDelta{index: 0, reasoning: reasoning} = delta, place)
      when reasoning in [nil, ""],
      do: {[rest(delta, place)], place}

  def deltas(%ChatDelta{index: 0} = delta, _place) do
    part = make(LangChain.Message.ContentPart, %{type: :thinking, content: delta.reasoning})
    thinking = make(LangChain.MessageDelta, %{role: :assistant, content: part, index: 0})
    {[thinking, rest(delta, 1)], 1}
  end

  def deltas(%ChatDelta{}, place), do: {[], place}

  @doc "An error of ours as LangChain's, with the kind as its type and ours as `original`."
  @spec error(Error.t()) :: Exception.t()
  def error(%Error{kind: kind, message: message} = error) do
    fields = [type: Atom.to_string(kind), message: message, original: error]
    apply(LangChain.LangChainError, :exception, [fields])
  end

  @doc "Whether another model may answer what has failed with this error."
  @spec elsewhere?(Exception.t()) :: boolean()
  def elsewhere?(%{type: type}), do: type in @elsewhere

  defp message(%ChatChoice{message: message} = choice, usage) do
    make(LangChain.Message, %{
      role: :assistant,
      content: content(message),
      status: Map.get(@finished, choice.finish_reason, :cancelled),
      index: choice.index,
      tool_calls: Enum.map(message.tool_calls, &call/1),
      metadata: %{usage: usage(usage)}
    })
  end

  defp content(message) do
    for {type, text} <- [thinking: message.reasoning, text: message.content],
        text not in [nil, ""],
        do: make(LangChain.Message.ContentPart, %{type: type, content: text})
  end

  # The message completes its calls, and refuses arguments that are no JSON.
  defp call(call) do
    make(LangChain.Message.ToolCall, %{
      status: :incomplete,
      call_id: call.id,
      name: call.name,
      arguments: call.arguments_json
    })
  end

  defp rest(delta, place) do
    make(LangChain.MessageDelta, %{
      role: :assistant,
      content: delta.content,
      index: place,
      status: status(delta.finish_reason),
      tool_calls: Enum.map(delta.tool_calls, &call_delta/1),
      metadata: if(delta.usage, do: %{usage: usage(delta.usage)})
    })
  end

  # A delta has no status for an answer that was aborted.
  defp status(nil), do: :incomplete
  defp status(reason), do: Map.get(@finished, reason, :complete)

  defp call_delta(call) do
    make(LangChain.Message.ToolCall, %{
      status: :incomplete,
      index: call.index,
      call_id: call.id,
      name: call.name,
      arguments: call.arguments_json
    })
  end

  defp raw(usage) do
    for {name, count} <- Map.from_struct(usage),
        count != nil,
        into: %{},
        do: {Atom.to_string(name), count}
  end

  defp make(module, fields) do
    case apply(module, :new, [fields]) do
      {:ok, struct} -> struct
      {:error, changeset} -> throw({:refused, changeset})
    end
  end
end
