defmodule Vllm.Test.Chat do
  @moduledoc """
  A chat that reached a fake engine, as `Vllm.Test.chats/1` returns it. Every round of
  `Vllm.Chat.run_tools/3` is one.

  ## Fields

    * `:method` - `:chat` or `:stream_chat`; `Vllm.json/4` and `Vllm.Chat.run_tools/3` call `:chat`
    * `:request_id` - its id in the engine, for `Vllm.Test.assert_aborted/3`
    * `:prompt` - the text of the last message, by which scripts select it; a result of a tool that is no text
      is JSON
    * `:messages` - the messages as maps with string keys, as they were sent
    * `:fields` - the other fields of the request that the application gave, such as `"tools"` and
      `"temperature"`, with string keys
    * `:options` - `"tool_parser"`, `"reasoning_parser"`, `"lora_request"` and others, if they were
      given
  """

  alias Vllm.Core.Chat.Messages

  @enforce_keys [:method, :request_id, :prompt, :messages, :fields, :options]
  defstruct [:method, :request_id, :prompt, :messages, :fields, :options]

  @type t :: %__MODULE__{
          method: :chat | :stream_chat,
          request_id: String.t(),
          prompt: String.t(),
          messages: [%{optional(String.t()) => term()}],
          fields: %{optional(String.t()) => term()},
          options: %{optional(String.t()) => term()}
        }

  @methods %{"chat" => :chat, "stream_chat" => :stream_chat}

  @doc false
  # From the fake engine's record.
  @spec from_calls([[term()]]) :: [t()]
  def from_calls(calls) do
    for [name, [request], options] <- calls, method = @methods[name] do
      {messages, fields} = Map.pop(request, "messages")
      {own, options} = Map.split(options, ["request_id", "prompt"])

      %__MODULE__{
        method: method,
        request_id: own["request_id"],
        prompt: own["prompt"],
        messages: messages,
        fields: fields,
        options: options
      }
    end
  end

  @doc false
  # Whether the chat has the properties in `wanted`.
  @spec fits?(t(), keyword()) :: boolean()
  def fits?(%__MODULE__{} = chat, wanted) do
    Enum.all?(wanted, fn
      {:method, method} -> chat.method == method
      {:prompt, prompt} -> prompt?(chat.prompt, prompt)
      {:fields, fields} -> Enum.all?(fields, &field?(chat.fields, &1))
      {:options, options} -> Enum.all?(options, &field?(chat.options, &1))
    end)
  end

  defp prompt?(text, %Regex{} = pattern), do: text =~ pattern
  defp prompt?(text, wanted), do: text == wanted

  defp field?(fields, {name, value}) do
    value =
      if name in [:tools, "tools"] and is_list(value), do: Messages.tools(value), else: value

    Map.fetch(fields, to_string(name)) == {:ok, plain(value)}
  end

  # A value as it arrives: its keys and atoms are strings.
  defp plain(%{__struct__: _} = struct), do: struct
  defp plain(map) when is_map(map), do: Map.new(map, fn {key, it} -> {plain(key), plain(it)} end)
  defp plain(list) when is_list(list), do: Enum.map(list, &plain/1)
  defp plain(atom) when is_atom(atom) and atom not in [nil, true, false], do: to_string(atom)
  defp plain(value), do: value
end
