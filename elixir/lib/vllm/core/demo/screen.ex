defmodule Vllm.Core.Demo.Screen do
  @moduledoc false
  # Prints the demo: lines of at most 80 columns, in colour only where the terminal has it.
  #
  # A pipe gets the same text without colours, and of what is drawn again and again only the last state.

  @width 80
  @indent 2

  # Where the last word of a line may end, so that what comes after it without a space has room.
  @last_word 77

  # Milliseconds between two drawings of a live part.
  @pause 100

  @doc "Whether lines can be drawn over."
  @spec terminal?() :: boolean()
  def terminal?, do: IO.ANSI.enabled?() and System.get_env("TERM") != "dumb"

  @doc "The milliseconds between two drawings."
  @spec pause() :: pos_integer()
  def pause, do: @pause

  @doc "A title over the whole width."
  @spec title(String.t()) :: :ok
  def title(text), do: IO.puts([paint(:bright, text), "\n", String.duplicate("=", @width)])

  @doc "The heading of a scene."
  @spec heading(String.t()) :: :ok
  def heading(text) do
    rule = String.duplicate("-", max(@width - String.length(text) - 4, 2))
    IO.puts(["\n-- ", paint(:bright, text), " ", rule])
  end

  @doc "Lines of text, wrapped and indented."
  @spec say(String.t()) :: :ok
  def say(text), do: text |> wrap(@width - @indent) |> Enum.each(&IO.puts(["  ", &1]))

  @doc "A remark, less bright than the rest."
  @spec remark(String.t()) :: :ok
  def remark(text) do
    for line <- wrap(text, @width - @indent), do: IO.puts(["  ", paint(:faint, line)])
    :ok
  end

  @doc "The code of a scene, as it would be typed."
  @spec code(String.t()) :: :ok
  def code(text) do
    for line <- wrap(text, @width - @indent), do: IO.puts(["  ", paint(:cyan, line)])
    :ok
  end

  @doc "Lines as they are, indented."
  @spec lines([String.t()]) :: :ok
  def lines(lines), do: Enum.each(lines, &IO.puts(["  ", &1]))

  @doc "A table of names and what belongs to them."
  @spec facts([{String.t(), String.t()}]) :: :ok
  def facts(facts) do
    width = facts |> Enum.map(&String.length(elem(&1, 0))) |> Enum.max()
    lines(for {name, text} <- facts, do: cut("#{String.pad_trailing(name, width)}  #{text}"))
  end

  @doc "A value as IEx shows it."
  @spec value(term()) :: :ok
  def value(term) do
    term
    |> inspect(pretty: true, width: @width - @indent)
    |> String.split("\n")
    |> Enum.flat_map(&wrap(&1, @width - @indent))
    |> lines()
  end

  @doc """
  Prints pieces of a text as they come, with line breaks between words. Returns what `fun` makes of all
  pieces: it is called with each piece and the accumulator, and returns the text and the accumulator.
  """
  @spec flow(Enumerable.t(), acc, (term(), acc -> {String.t(), acc})) :: acc when acc: var
  def flow(pieces, acc, fun) do
    IO.write("  ")

    {acc, _column} =
      Enum.reduce(pieces, {acc, @indent}, fn piece, {acc, column} ->
        {text, acc} = fun.(piece, acc)
        {acc, write(text, column)}
      end)

    IO.puts("")
    acc
  end

  # A word that comes in several pieces can only be broken where one of them begins.
  defp write(text, column) do
    ~r/\n|[ \t]*[^ \t\n]+|[ \t]+/
    |> Regex.scan(text)
    |> Enum.reduce(column, fn [part], column -> write_part(part, column) end)
  end

  defp write_part("\n", _column) do
    IO.write("\n  ")
    @indent
  end

  defp write_part(part, column) do
    limit = if part =~ ~r/^[ \t]/, do: @last_word, else: @width

    if column + String.length(part) > limit do
      part = String.trim_leading(part)
      IO.write(["\n  ", part])
      @indent + String.length(part)
    else
      part = if column == @indent, do: String.trim_leading(part), else: part
      IO.write(part)
      column + String.length(part)
    end
  end

  @doc "Draws lines in the place of so many others, and returns how many there are now."
  @spec redraw([String.t()], non_neg_integer()) :: non_neg_integer()
  def redraw(lines, 0) do
    lines(lines)
    length(lines)
  end

  def redraw(lines, drawn) do
    IO.write([IO.ANSI.cursor_up(drawn), "\r\e[J"])
    redraw(lines, 0)
  end

  @doc "The texts side by side, each under its title, in so many rows."
  @spec columns([{String.t(), String.t()}], pos_integer()) :: [String.t()]
  def columns(texts, rows) do
    width = div(@width - @indent, length(texts)) - 2

    columns =
      for {title, text} <- texts do
        body = text |> String.trim_leading() |> wrap(width) |> Enum.take(rows)
        shown = [title, String.duplicate("-", width) | body]
        shown ++ List.duplicate("", rows - length(body))
      end

    columns
    |> Enum.zip_with(fn row ->
      row |> Enum.map_join("  ", &(&1 |> cut(width) |> String.pad_trailing(width)))
    end)
    |> Enum.map(&String.trim_trailing/1)
  end

  @doc "Breaks a text into lines of at most so many characters."
  @spec wrap(String.t(), pos_integer()) :: [String.t()]
  def wrap(text, width) do
    text |> String.split("\n") |> Enum.flat_map(&wrap_line(&1, width))
  end

  # Such as a line of a table, whose columns stay.
  defp wrap_line(line, width),
    do: if(String.length(line) <= width, do: [line], else: broken(line, width))

  defp broken(line, width) do
    # Spaces in front are an indentation, such as that of an inspected struct.
    [indent] = Regex.run(~r/^ */, line)

    {lines, last} =
      line
      |> String.split(" ", trim: true)
      |> Enum.flat_map(&pieces(&1, width - String.length(indent)))
      |> Enum.reduce({[], indent}, fn word, {lines, current} ->
        cond do
          current == indent ->
            {lines, current <> word}

          String.length(current) + 1 + String.length(word) <= width ->
            {lines, "#{current} #{word}"}

          true ->
            {[current | lines], indent <> word}
        end
      end)

    Enum.reverse([last | lines])
  end

  # A word that is longer than a line is cut.
  defp pieces(word, width) do
    case String.split_at(word, max(width, 1)) do
      {piece, ""} -> [piece]
      {piece, rest} -> [piece | pieces(rest, width)]
    end
  end

  @doc "A number with one digit behind the point."
  @spec decimal(number()) :: String.t()
  def decimal(number), do: :erlang.float_to_binary(number * 1.0, decimals: 1)

  @doc "The seconds since a monotonic time in milliseconds."
  @spec since(integer()) :: float()
  def since(began), do: (now() - began) / 1000

  @doc "The monotonic time in milliseconds."
  @spec now() :: integer()
  def now, do: System.monotonic_time(:millisecond)

  defp cut(text, width \\ @width - @indent) do
    if String.length(text) > width, do: String.slice(text, 0, width - 1) <> "…", else: text
  end

  # NO_COLOR is a convention of many programs: https://no-color.org
  defp paint(style, text) do
    colours? = terminal?() and System.get_env("NO_COLOR") in [nil, ""]
    IO.ANSI.format([style, text], colours?)
  end
end
