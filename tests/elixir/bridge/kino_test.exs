defmodule Vllm.Bridge.KinoTest do
  # Streams and answers of a fake engine in Livebook, with stand-ins for Kino.
  use Vllm.TestKitCase, async: false

  alias Vllm.{StandIns, Test}

  @implementations "elixir/lib/vllm/core/integrations/kino_render.ex"

  defp appended do
    receive do
      {:appended, ref, item} -> [{ref, item} | appended()]
    after
      0 -> []
    end
  end

  # By apply, because the protocol is there only while these tests run.
  defp output(term), do: apply(Kino.Render, :to_livebook, [term])

  # What a frame shows, until it shows `last`.
  defp shown(ref, last) do
    assert_receive {:shown, ^ref, output}, 30_000
    if output == last, do: [output], else: [output | shown(ref, last)]
  end

  describe "a cell whose value is" do
    setup do
      StandIns.library("kino")
      assert [_ | _] = StandIns.source(@implementations)
      :ok
    end

    test "a chat's stream has a frame with its text, as Markdown, while it comes",
         %{engine: engine} do
      Test.reply(engine, :any, ["Hi", " there", "!"], hold: 1)
      {:ok, stream} = Vllm.stream_chat(engine, "Hello")
      assert %{type: :frame, ref: ref} = output(stream)

      assert shown(ref, %{type: :markdown, text: "Hi"}) == [%{type: :markdown, text: "Hi"}]
      Test.release(engine)
      assert [_ | _] = shown(ref, %{type: :markdown, text: "Hi there!"})
      # Once more, for a page on which the frame was too late.
      assert_receive {:shown, ^ref, %{type: :markdown, text: "Hi there!"}}, 30_000
    end

    for kind <- [:DELTA, :CUMULATIVE, :FINAL_ONLY] do
      test "a completion's stream has its text once, from #{kind} items", %{engine: engine} do
        Test.reply(engine, :any, [" one", " two", " three", " three", " three"])
        {:ok, stream} = AsyncLLM.generate(engine, "x", [output_kind: unquote(kind)], "r1")
        assert %{ref: ref} = output(stream)
        whole = %{type: :plain_text, text: " one two three three three"}
        for %{text: text} <- shown(ref, whole), do: assert(String.starts_with?(whole.text, text))
      end
    end

    test "a stream of texts or of token ids shows them", %{engine: engine} do
      Test.reply(engine, :any, ["a", "b"])
      {:ok, texts} = AsyncLLM.generate(engine, "x", [], "r1", rpc: [items: :text])
      %{ref: ref} = output(texts)
      shown(ref, %{type: :plain_text, text: "ab"})

      {:ok, ids} = AsyncLLM.generate(engine, "x", [], "r2", rpc: [items: :token_ids])
      {:ok, plain} = AsyncLLM.generate(engine, "x", [], "r3", rpc: [items: :token_ids])
      {:ok, expected} = Stream.collect(plain)
      %{ref: ref} = output(ids)
      shown(ref, %{type: :plain_text, text: Enum.map_join(expected, &"#{&1} ")})
    end

    test "a stream without texts shows its items", %{worker: worker} do
      engine = Test.engine!(worker, runner: "pooling")
      Test.embed(engine, "cat", [0.5, -1.0])
      {:ok, stream} = AsyncLLM.encode(engine, "cat", %Vllm.PoolingParams{task: "embed"}, "e1")
      %{ref: ref} = output(stream)
      assert_receive {:shown, ^ref, %{type: :inspect, text: "#Vllm.PoolingRequestOutput" <> _}}
    end

    test "a stream that fails shows its error below what came", %{engine: engine} do
      Test.fail_after(engine, 2, :engine_error)
      {:ok, stream} = Vllm.stream_chat(engine, "x")
      %{ref: ref} = output(stream)

      assert_receive {:shown, ^ref, %{type: :grid, outputs: [text, error]}}, 30_000
      assert text == %{type: :markdown, text: " 256 257"}
      assert %{type: :terminal_text, text: "** (Vllm.Error) " <> _} = error
    end

    test "a stream that was enumerated says so", %{engine: engine} do
      {:ok, stream} = Vllm.stream_chat(engine, "x")
      Enum.to_list(stream)
      %{ref: ref} = output(stream)
      assert_receive {:shown, ^ref, %{type: :terminal_text, text: text}}, 30_000
      assert text =~ "** (Vllm.Error)"
    end

    test "a stream is aborted when Kino ends its process", %{engine: engine} do
      Test.reply(engine, :any, ["Well"], then: :hang)
      {:ok, stream} = AsyncLLM.generate(engine, "x", [], "r1")
      %{ref: ref} = output(stream)
      assert_received {:started, pid}
      shown(ref, %{type: :plain_text, text: "Well"})
      Process.unlink(pid)
      Process.exit(pid, :shutdown)
      Test.assert_aborted(engine, "r1")
      Test.assert_live(engine, 0)
    end

    test "an output has a tab for each choice and one with the whole", %{engine: engine} do
      Test.reply(engine, :any, " Paris.")
      {:ok, output} = collect(engine, "x")
      assert %{type: :tabs, labels: ["Text", "Raw"], outputs: [text, whole]} = output(output)
      assert text == %{type: :plain_text, text: " Paris."}
      assert whole == %{type: :inspect, text: inspect(output)}

      {:ok, output} = collect(engine, "x", n: 2)
      assert %{labels: ["1", "2", "Raw"], outputs: [^text, ^text, _whole]} = output(output)
    end

    test "a chat's answer is Markdown", %{engine: engine} do
      Test.reply(engine, :any, "# Hi")
      {:ok, answer} = Vllm.chat(engine, "x")
      assert %{labels: ["Text", "Raw"], outputs: [text, _whole]} = output(answer)
      assert text == %{type: :markdown, text: "# Hi"}
    end

    test "an answer without a text shows its message", %{engine: engine} do
      Test.reply(engine, :any, "", tool_calls: [{"sky", %{city: "Rome"}}])
      tool = %Vllm.Tool{name: "sky"}
      {:ok, answer} = Vllm.chat(engine, "x", tools: [tool], tool_parser: "hermes")
      assert %{outputs: [%{type: :inspect, text: text}, _whole]} = output(answer)
      assert text =~ "Rome"
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

    for kind <- [:CUMULATIVE, :FINAL_ONLY] do
      test "the text of #{kind} items is shown and returned once", %{engine: engine} do
        Test.reply(engine, :any, ["a", "b", "c"])
        {:ok, stream} = AsyncLLM.generate(engine, "x", [output_kind: unquote(kind)], "r1")
        assert Vllm.Kino.render(stream) == {:ok, "abc"}
        assert Enum.map_join(appended(), fn {_ref, %{text: text}} -> text end) == "abc"
      end
    end

    test "a stream of texts is shown and returned", %{engine: engine} do
      Test.reply(engine, :any, ["a", "b"])
      {:ok, stream} = AsyncLLM.generate(engine, "x", [], "r1", rpc: [items: :text])
      assert Vllm.Kino.render(stream) == {:ok, "ab"}
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
    assert Code.compile_file(@implementations) == []
  end
end
