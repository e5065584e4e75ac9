defmodule Vllm.Core.LlamaFactory.Arguments do
  @moduledoc false
  # From what a caller writes to the arguments of the worker's methods.

  alias Vllm.Core.Chat.Messages
  alias Vllm.{Bytes, Error}

  @doc "Messages as maps. A string is a message of the user's; `{role, content}` is one of a role's."
  @spec messages(term()) :: {:ok, term()} | {:error, Error.t()}
  def messages(text) when is_binary(text), do: {:ok, [%{role: "user", content: text}]}

  def messages(messages) when length(messages) >= 0 do
    {:ok,
     Enum.map(messages, fn
       {role, content} when is_atom(role) or is_binary(role) -> %{role: role, content: content}
       other -> other
     end)}
  end

  def messages(other) do
    {:error,
     Error.new(
       :invalid,
       "messages: wants a string or a list of maps with :role and :content, got: " <>
         inspect(other, limit: 5, printable_limit: 50),
       details: %{"parameter" => "messages"}
     )}
  end

  @doc "The arguments of a chat by name, without those that are not given."
  @spec chat(map()) :: keyword()
  def chat(settings) do
    [
      system: settings.system,
      tools: tools(settings.tools),
      images: media(settings.images),
      videos: media(settings.videos),
      audios: media(settings.audios)
    ]
    |> Enum.reject(fn {_name, value} -> value == nil end)
  end

  # `length/1` fails for an improper list, which the call refuses.
  defp tools(tools) when length(tools) >= 0, do: Messages.tools(tools)
  defp tools(other), do: other

  @doc "A list of images, videos or audios; what is none is left for the worker to refuse."
  @spec media(term()) :: term()
  def media(items) when length(items) >= 0, do: Enum.map(items, &item/1)
  def media(other), do: other

  defp item({:path, path}), do: %{path: path}
  defp item({:bytes, bytes}), do: %{bytes: bytes(bytes)}
  defp item(%{bytes: bytes} = item) when not is_struct(item), do: %{item | bytes: bytes(bytes)}

  defp item(%{"bytes" => bytes} = item) when not is_struct(item),
    do: %{item | "bytes" => bytes(bytes)}

  # The frames of a video, or the samples of audio.
  defp item(items) when length(items) >= 0 do
    if Enum.all?(items, &is_number/1), do: items, else: Enum.map(items, &item/1)
  end

  defp item(other), do: other

  defp bytes(bytes) when is_binary(bytes), do: %Bytes{data: bytes}
  defp bytes(other), do: other

  @doc "Arguments of LLaMA-Factory: a map or a keyword list."
  @spec fields(term(), String.t()) :: {:ok, map()} | {:error, Error.t()}
  def fields(fields, name) do
    cond do
      is_map(fields) and not is_struct(fields) ->
        {:ok, fields}

      Keyword.keyword?(fields) ->
        {:ok, Map.new(fields)}

      true ->
        text = "#{name}: wants a map or a keyword list, got: #{inspect(fields, limit: 5)}"
        {:error, Error.new(:invalid, text, details: %{"parameter" => name})}
    end
  end
end
