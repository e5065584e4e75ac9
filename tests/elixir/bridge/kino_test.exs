defmodule Vllm.Bridge.KinoTest do
  # Streams of a fake engine in Livebook, with stand-ins for Kino.
  use Vllm.TestKitCase, async: false

  alias Vllm.{StandIns, Test}

  defp appended do
    receive do
      {:appended, ref, item} -> [{ref, item} | appended()]
    after
      0 -> []
    end
  end

  describe "with Kino" do
    setup do
      StandIns.library("kino")
      :ok
    end

    test "the pieces of a chat are appended to one frame", %{engine: engine} do
      Test.reply(engine, :any, ["Hi", " there", "!"])
      {:ok, stream} = Vllm.stream_chat(engine, "Hello")
      assert Vllm.Kino.render(stream) == {:ok, "Hi there!"}
      assert_received {:rendered, %{__struct__: Kino.Frame, ref: ref}}
      pieces = appended()

      assert for({^ref, %{__struct__: Kino.Text, text: text, chunk: true}} <- pieces, do: text) ==
               ["Hi", " there", "!"]

      assert length(pieces) == 3
    end

    test "the text of a completion can be Markdown", %{engine: engine} do
      Test.reply(engine, :any, ["# A", " title"])
      {:ok, stream} = AsyncLLM.generate(engine, "x", [output_kind: :DELTA], "r1")
      assert Vllm.Kino.render(stream, markdown: true) == {:ok, "# A title"}
      pieces = appended()
      assert Enum.all?(pieces, &match?({_ref, %{__struct__: Kino.Markdown, chunk: true}}, &1))
      assert Enum.map_join(pieces, fn {_ref, %{text: text}} -> text end) == "# A title"
    end

    test "of several choices the first is shown", %{engine: engine} do
      Test.reply(engine, :any, "Yes it is.")
      {:ok, stream} = Vllm.stream_chat(engine, "Is it?", n: 2)
      assert Vllm.Kino.render(stream) == {:ok, "Yes it is."}
    end

    test "a stream that fails returns its error, and the frame keeps what came", %{engine: engine} do
      Test.fail_after(engine, 2, :engine_error)
      {:ok, stream} = Vllm.stream_chat(engine, "x")
      assert {:error, %Error{kind: :engine_error}} = Vllm.Kino.render(stream)
      assert Enum.map_join(appended(), fn {_ref, %{text: text}} -> text end) == " 256 257"
    end

    test "other options are refused", %{engine: engine} do
      {:ok, stream} = Vllm.stream_chat(engine, "x")
      assert_raise ArgumentError, ~r/html/, fn -> Vllm.Kino.render(stream, html: true) end
    end
  end

  test "without Kino it says what is missing", %{engine: engine} do
    {:ok, stream} = Vllm.stream_chat(engine, "x")
    assert_raise ArgumentError, ~r/add :kino/, fn -> Vllm.Kino.render(stream) end
  end
end
