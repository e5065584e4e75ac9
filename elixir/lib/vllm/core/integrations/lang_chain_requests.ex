defmodule Vllm.Core.Integrations.LangChainRequests do
  @moduledoc false
  # From LangChain's messages and functions to those of `Vllm.chat/3`.
  #
  # LangChain is no dependency: its structs are matched by their fields, and its functions are called by
  # `apply/3`.

  alias Vllm.{Error, Tool}

  # Of LangChain's content parts: those that vLLM takes, and what is made of their content.
  @texts [:text]
  @images [:image, :image_url]

  @doc "LangChain's messages as OpenAI's. A text is a message of the user's."
  @spec messages(String.t() | [struct()]) :: {:ok, [map()]} | {:error, Error.t()}
  def messages(text) when is_binary(text), do: {:ok, [%{role: "user", content: text}]}

  def messages(messages) when length(messages) >= 0 do
    {:ok, Enum.flat_map(messages, &message/1)}
  catch
    {:wrong, text} -> {:error, Error.new(:invalid, text, details: %{"parameter" => "messages"})}
  end

  def messages(other), do: {:error, Error.new(:invalid, unknown("messages", other))}

  @doc "LangChain's functions as tools without `run`: the chain runs them."
  @spec tools([struct()] | nil) :: [Tool.t()]
  def tools(functions) do
    for function <- functions || [] do
      %Tool{
        name: function.name,
        description: function.description,
        parameters: schema(function),
        strict: function.strict
      }
    end
  end

  # A result of each tool is a message of its own.
  defp message(%{role: :tool, tool_results: results}) when is_list(results) do
    for result <- results do
      %{role: "tool", tool_call_id: result.tool_call_id, content: text(result.content)}
    end
  end

  defp message(%{role: :assistant} = message) do
    calls = Enum.map(message.tool_calls || [], &call/1)
    {thinking, parts} = split_thinking(message.content)

    fields = [
      content: content(parts),
      reasoning: if(thinking != [], do: text(thinking)),
      tool_calls: if(calls != [], do: calls)
    ]

    given = for {name, value} <- fields, value != nil, into: %{}, do: {name, value}
    [Map.put(given, :role, "assistant")]
  end

  defp message(%{role: role, content: content} = message) when role in [:system, :user] do
    named = if message.name, do: %{name: message.name}, else: %{}
    [Map.merge(named, %{role: Atom.to_string(role), content: content(content)})]
  end

  defp message(other), do: throw({:wrong, unknown("a message", other)})

  defp split_thinking(parts) when is_list(parts),
    do: Enum.split_with(parts, &(&1.type == :thinking))

  defp split_thinking(content), do: {[], content}

  # One text is sent as a text, which every chat template takes.
  defp content([]), do: nil
  defp content([%{type: type, content: text}]) when type in @texts, do: text
  defp content(parts) when is_list(parts), do: Enum.map(parts, &part/1)
  defp content(content), do: content

  defp part(%{type: type, content: text}) when type in @texts, do: %{type: "text", text: text}

  defp part(%{type: type, content: content, options: options}) when type in @images do
    %{type: "image_url", image_url: %{url: url(content, options)}}
  end

  defp part(%{type: type}) do
    throw({:wrong, "a content part of the type #{inspect(type)} cannot be given to vLLM"})
  end

  # The content of an image is base64 with or without its type in front, or an address.
  defp url("data:" <> _rest = url, _options), do: url
  defp url("http" <> _rest = url, _options), do: url

  defp url(base64, options),
    do: "data:#{media((options || [])[:media])};base64,#{base64}"

  defp media(nil), do: "image/png"
  defp media(:jpg), do: "image/jpeg"
  defp media(name) when is_atom(name), do: "image/#{name}"
  defp media(type), do: type

  defp text(parts) when is_list(parts), do: Enum.map_join(parts, "\n", & &1.content)
  defp text(content), do: content

  defp call(call) do
    arguments = %{name: call.name, arguments: json(call.arguments || %{})}
    %{id: call.call_id, type: "function", function: arguments}
  end

  defp json(text) when is_binary(text), do: text

  # A dependency of LangChain's.
  defp json(arguments), do: apply(Jason, :encode!, [arguments])

  defp schema(%{parameters_schema: %{} = schema}), do: schema

  defp schema(%{parameters: [_ | _] = parameters}),
    do: apply(LangChain.FunctionParam, :to_parameters_schema, [parameters])

  defp schema(_without), do: %{type: "object", properties: %{}}

  defp unknown(what, value),
    do: "#{what} of LangChain's was expected, got: #{inspect(value, limit: 5)}"
end
