defmodule Vllm.Core.Chat.Messages do
  @moduledoc false
  # From what a caller writes to the messages and tools of OpenAI's request.

  alias Vllm.{Bytes, ChatCompletion, ChatMessage, Error, Tool, ToolCall}

  # Parts that may have a file's content, which is no text.
  @media ["image", "video", "audio", :image, :video, :audio]

  @doc "The messages as maps. A string is a message of the user's; an answer is its first message."
  @spec normalize(term()) :: {:ok, [map()]} | {:error, Error.t()}
  def normalize(text) when is_binary(text), do: {:ok, [%{role: "user", content: text}]}

  # `length/1` fails for an improper list.
  def normalize(messages) when length(messages) >= 0 do
    messages
    |> Enum.with_index()
    |> Enum.reduce_while({:ok, []}, fn {message, index}, {:ok, done} ->
      case message(message) do
        {:ok, message} -> {:cont, {:ok, [message | done]}}
        :error -> {:halt, wrong(message, index)}
      end
    end)
    |> case do
      {:ok, messages} -> {:ok, Enum.reverse(messages)}
      error -> error
    end
  end

  def normalize(other), do: wrong(other, nil)

  defp message(%ChatCompletion{choices: [%{message: message} | _others]}), do: message(message)

  defp message(%ChatMessage{} = message) do
    calls = if message.tool_calls != [], do: Enum.map(message.tool_calls, &call/1)

    fields = [
      role: message.role,
      content: message.content,
      reasoning: message.reasoning,
      tool_calls: calls
    ]

    {:ok, for({name, value} <- fields, value != nil, into: %{}, do: {name, value})}
  end

  defp message(%{__struct__: _other}), do: :error
  defp message(message) when is_map(message), do: {:ok, with_parts(message)}

  defp message([{key, _value} | _] = message) when is_atom(key) do
    if Keyword.keyword?(message), do: message(Map.new(message)), else: :error
  end

  defp message({role, content}) when role in [:system, :user, :assistant, :developer],
    do: message(%{role: role, content: content})

  defp message(_other), do: :error

  defp with_parts(message) do
    Enum.reduce([:content, "content"], message, fn key, message ->
      case message do
        %{^key => [_ | _] = parts} when length(parts) >= 0 ->
          %{message | key => Enum.map(parts, &part/1)}

        _no_parts ->
          message
      end
    end)
  end

  # The content of a file is sent as bytes, whatever it looks like.
  defp part(part) when is_list(part) and part != [],
    do: if(Keyword.keyword?(part), do: part(Map.new(part)), else: part)

  defp part(%{__struct__: _other} = part), do: part

  defp part(part) when is_map(part) do
    if (part[:type] || part["type"]) in @media,
      do: part |> Map.new(&bytes/1),
      else: part
  end

  defp part(part), do: part

  defp bytes({key, data}) when key in [:data, "data"] and is_binary(data),
    do: {key, %Bytes{data: data}}

  defp bytes({key, [_ | _] = frames}) when key in [:frames, "frames"] and length(frames) >= 0,
    do: {key, Enum.map(frames, &if(is_binary(&1), do: %Bytes{data: &1}, else: &1))}

  defp bytes(field), do: field

  defp call(%ToolCall{id: id, name: name, arguments_json: arguments}),
    do: %{id: id, type: "function", function: %{name: name, arguments: arguments}}

  defp wrong(message, index) do
    at = if index, do: "message #{index}", else: "messages"

    text =
      "#{at}: wants a map with :role and :content, {role, content}, or an answer of the model, " <>
        "got: #{inspect(message, limit: 5, printable_limit: 50)}"

    {:error, Error.new(:invalid, text, details: %{"parameter" => "messages"})}
  end

  @doc "Tools as OpenAI's maps. What is no `Vllm.Tool` is left as it is, and checked by the worker."
  @spec tools([Tool.t() | term()]) :: [term()]
  def tools(tools), do: Enum.map(tools, &tool/1)

  defp tool(%Tool{} = tool) do
    function =
      for {name, value} <- Map.take(tool, [:name, :description, :parameters, :strict]),
          value != nil,
          into: %{},
          do: {name, value}

    %{type: "function", function: function}
  end

  defp tool(other), do: other
end
