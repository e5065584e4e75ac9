defmodule Vllm.RealEngine.DemoTest do
  # The scenes of the demo, on the engines of the lane. The frame is in the lane `bridge`.
  use Vllm.VllmEngine, engine: :chat, also: [embed: :embed, lora: :lora]

  import ExUnit.CaptureIO

  alias Vllm.Core.Demo.Scenes

  setup %{engine: engine, embed: embed, lora: lora} do
    %{
      context: %{kind: :chat, chat: engine, embed: embed},
      scripted: %{kind: :scripted, chat: lora, embed: nil}
    }
  end

  # Every line fits a terminal of 80 columns, and a pipe gets no codes for a terminal.
  defp screen(scene) do
    output = capture_io(scene)
    for line <- String.split(output, "\n"), do: assert(String.length(line) <= 80, line)
    refute output =~ "\e"
    output
  end

  test "an answer streams, and its tokens are counted", %{context: context, scripted: scripted} do
    output = screen(fn -> Scenes.answer(context) end)
    assert output =~ "sky"

    assert [_, tokens] =
             Regex.run(~r/(\d+) tokens in \d+\.\d\d s, \d+\.\d tokens\/s, the first/, output)

    assert String.to_integer(tokens) in 20..96
    assert screen(fn -> Scenes.answer(scripted) end) =~ String.trim(hello())
  end

  test "four answers stand side by side", %{context: context, scripted: scripted} do
    assert screen(fn -> Scenes.side_by_side(context) end) =~
             ~r/^  Name 3 fruits\. +What is rain/m

    output = screen(fn -> Scenes.side_by_side(scripted) end)
    assert output =~ ~r/one two/
    assert output =~ ~r/^  \d+ tokens in .* tokens\/s, all four together/m
  end

  test "a story is stopped, and nothing of it is left in the engine", %{context: context} do
    assert screen(fn -> Scenes.abort(context) end) =~ "the engine has 0 requests"
  end

  test "JSON fits the schema", %{context: context, scripted: scripted} do
    assert screen(fn -> Scenes.json(context) end) =~
             ~r/\{:ok, %\{"age" => \d+, "city" => "London"/

    assert screen(fn -> Scenes.json(scripted) end) =~ "Left out"
  end

  test "an adapter changes the voice", %{scripted: scripted} do
    %{meow: path} = adapters([:meow])
    output = screen(fn -> Scenes.voice(scripted, fn -> {:ok, {"meow", path}} end) end)
    assert output =~ ~r/without:\n  from a scripted Llama/
    assert output =~ ~r/meow:\n  meow meow meow/

    error = Error.new(:conflict, "there is no adapter")
    output = screen(fn -> Scenes.voice(scripted, fn -> {:error, error} end) end)
    assert output =~ "Left out: there is no adapter"
  end

  test "sentences about the same are similar", %{context: context, scripted: scripted} do
    output = screen(fn -> Scenes.similarity(context) end)
    assert output =~ ~r/^  1  A kitten plays with wool\. +1\.00 /m
    assert screen(fn -> Scenes.similarity(scripted) end) =~ "Left out"
  end

  test "an error is shown, and the engine is well", %{context: context} do
    output = screen(fn -> Scenes.error(context) end)
    assert output =~ "#Vllm.Error<:invalid"
    assert output =~ "{:ok, nil}"
  end

  test "the status shows the requests that run", %{context: context} do
    output = screen(fn -> Scenes.status(context) end)
    assert output =~ ~r/smollm2-135m\S* +ready +[12] +\d +\d+\.\d +\d+\.\d %$/m
  end
end
