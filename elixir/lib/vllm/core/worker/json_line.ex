defmodule Vllm.Core.Worker.JSONLine do
  @moduledoc false
  # Reads a line that a worker with `--log-format json` has logged, as the lines that it would have
  # logged as text: their beginnings say the level and the process, and one of them may be the cause of
  # a failure.
  #
  # By patterns, because Elixir's standard library reads no JSON before 1.18. The object is flat, and
  # python_worker/process/logs.py makes it.

  @doc "The lines as text. A line that is no JSON is returned as it is."
  @spec as_text(String.t()) :: [String.t()]
  def as_text(~s({") <> _rest = line) do
    case text(line, "message") do
      nil -> [line]
      message -> lines(line, Enum.join([message | List.wrap(text(line, "exc_info"))], "\n"))
    end
  end

  def as_text(line), do: [line]

  # As vLLM writes them: "(EngineCore pid=7) ERROR [logger] text".
  defp lines(line, text) do
    process = text(line, "process")
    pid = if process, do: Regex.run(~r/"pid": (\d+)/, line)
    beginning = if pid, do: "(#{process} pid=#{List.last(pid)}) ", else: ""
    level = text(line, "level") || "INFO"
    logger = text(line, "logger")

    for part <- String.split(text, "\n"), do: "#{beginning}#{level} [#{logger}] #{part}"
  end

  defp text(line, field) do
    case Regex.run(~r/"#{field}": "((?:[^"\\]|\\.)*)"/, line) do
      [_, escaped] -> unescape(escaped)
      nil -> nil
    end
  end

  defp unescape(text) do
    Regex.replace(
      ~r/\\(?:u(d[89ab]\w\w)\\u(d[c-f]\w\w)|u([0-9a-f]{4})|(.))/i,
      text,
      fn
        _all, "", "", "", "n" -> "\n"
        _all, "", "", "", "t" -> "\t"
        _all, "", "", "", "r" -> "\r"
        _all, "", "", "", other -> other
        _all, "", "", code, _ -> character(String.to_integer(code, 16))
        _all, high, low, _, _ -> <<surrogate(high)::16, surrogate(low)::16>> |> utf16()
      end
    )
  end

  defp surrogate(code), do: String.to_integer(code, 16)

  # Half of a pair is no character.
  defp character(code) when code in 0xD800..0xDFFF, do: "\uFFFD"
  defp character(code), do: <<code::utf8>>

  defp utf16(pair), do: :unicode.characters_to_binary(pair, :utf16)
end
