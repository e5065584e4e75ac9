defmodule Vllm.Core.Inspection do
  @moduledoc false
  # How the structs of vLLM's classes are shown: only fields that differ from their defaults, long texts
  # shortened, ids and numbers counted. A prompt is never shown, and neither is a secret.
  #
  # `inspect(struct, structs: false)` shows everything.

  import Inspect.Algebra

  # Characters of a text, and elements of a list of numbers, that are shown whole.
  @shown_characters 60
  @shown_numbers 8

  # Fields whose value is counted, and what it consists of.
  @counted %{
    prompt: "characters",
    encoder_prompt: "characters",
    prompt_token_ids: "ids",
    encoder_prompt_token_ids: "ids",
    token_ids: "ids",
    tokens: "ids",
    logprobs: "positions",
    prompt_logprobs: "positions",
    prompt_embeds: "numbers"
  }

  # Words at the end of the name of a field, or of a key in a map, whose text is a secret.
  @secrets ~w(token api_key apikey access_key access_key_id secret secret_key password credentials)

  @doc "The document of a struct, for `Inspect`."
  @spec inspect(struct(), Inspect.Opts.t()) :: Inspect.Algebra.t()
  def inspect(%module{} = struct, opts) do
    default = module.__struct__()

    fields =
      for %{field: field} <- List.wrap(module.__info__(:struct)),
          value = Map.get(struct, field),
          value != Map.get(default, field),
          do: {field, shown(field, value)}

    # What is not the whole cannot be copied into a program.
    {open, close} =
      if Enum.any?(fields, &match?({_field, {:said, _text}}, &1)),
        do: {"#" <> Kernel.inspect(module) <> "<", ">"},
        else: {"%" <> Kernel.inspect(module) <> "{", "}"}

    container_doc(open, fields, close, opts, &field/2, separator: ",", break: :strict)
  end

  @doc "A text of which only the beginning is shown, if it is long."
  @spec text(String.t()) :: String.t()
  def text(text) do
    case String.split_at(text, @shown_characters) do
      {whole, ""} ->
        Kernel.inspect(whole)

      {shown, rest} ->
        "#{Kernel.inspect(shown)} … (#{String.length(rest)} characters more)"
    end
  end

  defp field({name, {:said, text}}, _opts), do: "#{name}: #{text}"

  defp field({name, value}, opts),
    do: concat("#{name}: ", to_doc(value, opts))

  defp shown(field, value) when is_map_key(@counted, field) do
    case count(value) do
      nil -> value
      count -> {:said, counted(count, @counted[field])}
    end
  end

  defp shown(field, value),
    do: if(secret?(field, value), do: {:said, "[hidden]"}, else: any(value))

  defp any(value) when is_binary(value) do
    if String.valid?(value) and String.length(value) > @shown_characters,
      do: {:said, text(value)},
      else: value
  end

  defp any([first | _] = list) when is_number(first) do
    case count(list) do
      count when is_integer(count) and count > @shown_numbers -> {:said, "#{count} numbers"}
      _short -> list
    end
  end

  defp any(value) do
    case without_secrets(value) do
      ^value -> value
      redacted -> {:said, Kernel.inspect(redacted)}
    end
  end

  defp counted(1, what), do: "1 " <> String.trim_trailing(what, "s")
  defp counted(count, what), do: "#{count} #{what}"

  defp count(text) when is_binary(text) do
    if String.valid?(text), do: String.length(text), else: byte_size(text)
  end

  defp count([_ | _] = list) do
    length(list)
  rescue
    # A list that a program has made may be improper.
    ArgumentError -> nil
  end

  defp count(_other), do: nil

  # In the maps that some arguments of an engine are.
  defp without_secrets(%{} = map) when not is_struct(map) do
    Map.new(map, fn {key, value} ->
      {key, if(secret?(key, value), do: :hidden, else: without_secrets(value))}
    end)
  end

  defp without_secrets([_ | _] = list) do
    if List.improper?(list), do: list, else: Enum.map(list, &without_secrets/1)
  end

  defp without_secrets(value), do: value

  defp secret?(key, value) when is_binary(value) and (is_atom(key) or is_binary(key)) do
    key = key |> to_string() |> String.downcase()
    Enum.any?(@secrets, &(key == &1 or String.ends_with?(key, "_" <> &1)))
  end

  defp secret?(_key, _value), do: false
end
