defmodule Vllm.Core.Demo.ScreenTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureIO

  alias Vllm.Core.Demo.Screen

  @sentence "The quick brown fox jumps over the lazy dog and goes on to the next field, where it rests."

  test "a text is wrapped between words, with its indentation, and long words are cut" do
    assert Screen.wrap("one two three", 7) == ["one two", "three"]
    assert Screen.wrap("  one two three", 8) == ["  one", "  two", "  three"]
    assert Screen.wrap("abcdefgh ij", 3) == ["abc", "def", "gh", "ij"]
    assert Screen.wrap("a\n\nb", 80) == ["a", "", "b"]
  end

  test "pieces flow over lines of at most 80 columns, whatever they are cut into" do
    for size <- [1, 3, 7, 200] do
      pieces = @sentence |> String.duplicate(3) |> String.graphemes() |> Enum.chunk_every(size)

      output =
        capture_io(fn ->
          count = Screen.flow(pieces, 0, fn piece, count -> {Enum.join(piece), count + 1} end)
          assert count == length(pieces)
        end)

      lines = output |> String.trim_trailing("\n") |> String.split("\n")
      for line <- lines, do: assert(String.length(line) <= 80)
      for line <- lines, do: assert(String.starts_with?(line, "  "))
      assert length(lines) in 4..6
      written = lines |> Enum.map_join(&String.trim/1) |> String.replace(" ", "")
      assert written == @sentence |> String.duplicate(3) |> String.replace(" ", "")
    end
  end

  test "a line break in a piece is one on the screen" do
    output = capture_io(fn -> Screen.flow(["a\n", "b"], nil, &{&1, &2}) end)
    assert output == "  a\n  b\n"
  end

  test "texts stand side by side in so many rows, each in its column" do
    texts = for name <- ~w(one two three four), do: {name, String.duplicate("#{name} ", 40)}
    lines = Screen.columns(texts, 5)
    assert length(lines) == 7
    assert hd(lines) =~ ~r/^one +two +three +four$/
    for line <- lines, do: assert(String.length(line) <= 78)
    assert length(Screen.columns([{"a", ""}, {"b", ""}], 5)) == 7
  end

  test "without a terminal there are no colours, and nothing is drawn over" do
    output =
      capture_io(fn ->
        Screen.title("t")
        Screen.heading("h")
        Screen.code("c")
        Screen.remark(@sentence)
        Screen.facts([{"a", String.duplicate("x", 200)}, {"long name", "y"}])
        Screen.value(%Vllm.SamplingParams{n: 2})
      end)

    refute output =~ "\e"
    for line <- String.split(output, "\n"), do: assert(String.length(line) <= 80, line)
    assert output =~ "%Vllm.SamplingParams{n: 2}"
    refute Screen.terminal?()
  end
end
