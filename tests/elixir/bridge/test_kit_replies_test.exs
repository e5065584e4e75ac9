defmodule Vllm.Bridge.TestKitRepliesTest do
  # The scripted answers of a fake engine.
  use Vllm.TestKitCase, async: true

  describe "reply/4" do
    test "scripts the answer, one item for each token", %{engine: engine} do
      :ok = Vllm.Test.reply(engine, "Hello", [" wor", "ld"])
      assert texts(engine, "Hello") == [" wor", "ld"]
      assert {:ok, output} = collect(engine, "Hello")
      assert [%{text: " world", finish_reason: "stop", stop_reason: nil}] = output.outputs
    end

    test "splits a text into words", %{engine: engine} do
      Vllm.Test.reply(engine, "Hello", "It rains,  again.\n")
      assert texts(engine, "Hello") == ["It", " rains,", "  again.", "\n"]
    end

    test "prefers a prompt to a regex, and a regex to :any", %{engine: engine} do
      Vllm.Test.reply(engine, :any, ["any"])
      Vllm.Test.reply(engine, ~r/^WEATHER.*paris/si, ["pattern"])
      Vllm.Test.reply(engine, "Hello", ["prompt"])
      Vllm.Test.reply(engine, [1, 2, 3], ["ids"])
      assert texts(engine, "Hello") == ["prompt"]
      assert texts(engine, "weather\nin Paris") == ["pattern"]
      assert texts(engine, %{prompt: "Hello"}) == ["prompt"]
      assert texts(engine, [1, 2, 3]) == ["ids"]
      assert texts(engine, "else") == ["any"]
    end

    test "ends at max_tokens, and takes other reasons", %{engine: engine} do
      Vllm.Test.reply(engine, "a", "one two three")
      assert {:ok, %{outputs: [cut]}} = collect(engine, "a", max_tokens: 2)
      assert %{text: "one two", finish_reason: "length"} = cut
      Vllm.Test.reply(engine, "b", "one", finish_reason: "stop", stop_reason: "###")
      assert {:ok, %{outputs: [stopped]}} = collect(engine, "b", max_tokens: 1)
      assert %{finish_reason: "stop", stop_reason: "###"} = stopped
    end

    test "gives log probabilities to requests that ask for them", %{engine: engine} do
      Vllm.Test.reply(engine, "a", ["x", "y"], logprobs: [-0.25, -1.5])
      assert {:ok, %{outputs: [completion]}} = collect(engine, "a", logprobs: 1)
      assert completion.cumulative_logprob == -1.75

      assert for(map <- completion.logprobs, {_id, %{rank: 1} = first} <- map, do: first.logprob) ==
               [-0.25, -1.5]

      assert {:ok, %{outputs: [%{logprobs: nil}]}} = collect(engine, "a")
    end

    test "with times: counts requests, in order", %{engine: engine} do
      Vllm.Test.reply(engine, "a", ["always"])
      Vllm.Test.reply(engine, "a", ["first"], times: 1)
      Vllm.Test.reply(engine, "a", ["then"], times: 2)
      answers = for _ <- 1..5, do: texts(engine, "a")
      assert answers == [["first"], ["then"], ["then"], ["always"], ["always"]]
    end

    test "with hold: waits for release/1", %{engine: engine} do
      Vllm.Test.reply(engine, "a", ["x", "y"], hold: 1)
      params = [output_kind: :DELTA]
      {:ok, stream} = AsyncLLM.generate(engine, "a", params, "r", rpc: [stream_to: self()])
      assert_receive {:vllm, ^stream, {:item, %RequestOutput{outputs: [%{text: "x"}]}}}
      assert Vllm.Test.live(engine) == 1
      assert Vllm.Test.release(engine) == 1
      assert_receive {:vllm, ^stream, {:item, %RequestOutput{outputs: [%{text: "y"}]}}}
      assert_receive {:vllm, ^stream, :done}
      :ok = Vllm.Test.assert_live(engine, 0)
      assert Vllm.Test.release(engine) == 0
    end

    test "with delay: delays tokens, with merge: may join them", %{engine: engine} do
      Vllm.Test.reply(engine, "a", ["x", "y", "z"], delay: 20)
      assert texts(engine, "a") == ["x", "y", "z"]
      Vllm.Test.reply(engine, "a", ["x", "y", "z"], delay: 600_000)
      assert {:error, %Error{kind: :timeout}} = collect(engine, "a", [], rpc: [timeout: 50])
      Vllm.Test.reply(engine, "a", ["x", "y", "z"], merge: true)
      assert Enum.join(texts(engine, "a")) == "xyz"
    end

    test "with then: ends differently", %{engine: engine} do
      Vllm.Test.reply(engine, "fail", ["x"], then: {:fail, {:engine_error, "out of memory"}})
      assert {["x"], %Error{kind: :engine_error, message: message}} = until_error(engine, "fail")
      assert message =~ "out of memory"

      Vllm.Test.reply(engine, "hang", ["x"], then: :hang)
      {:ok, stream} = AsyncLLM.generate(engine, "hang", [], "r", rpc: [stream_to: self()])
      assert_receive {:vllm, ^stream, {:item, %RequestOutput{finished: false}}}
      :ok = Vllm.Test.assert_live(engine, 1)
      Stream.cancel(stream)
      :ok = Vllm.Test.assert_aborted(engine, "r")

      Vllm.Test.reply(engine, "die", ["x"], then: :die)
      assert {["x"], %Error{kind: :engine_dead}} = until_error(engine, "die")
      assert AsyncLLM.errored(engine) == {:ok, true}
    end

    test "refuses invalid arguments", %{engine: engine} do
      reply = &Vllm.Test.reply(engine, &1, ["x"], &2)
      assert_raise ArgumentError, ~r/:tihs/, fn -> reply.("a", tihs: 1) end
      assert_raise ArgumentError, ~r/:hold cannot go/, fn -> reply.("a", hold: 1, then: :die) end
      assert_raise ArgumentError, ~r/:then is/, fn -> reply.("a", then: :explode) end
      assert_raise ArgumentError, ~r/a prompt is/, fn -> reply.(:all, []) end
      assert_raise ArgumentError, ~r/which has no/, fn -> reply.(~r/a/U, []) end
      assert_raise ArgumentError, ~r/:times .* from 1 to/, fn -> reply.("a", times: 0) end

      assert_raise ArgumentError, ~r/crash_worker/, fn ->
        Vllm.Test.fail(engine, :sleep, :worker_down)
      end
    end
  end

  test "embed/4 scripts the result of encode", %{worker: worker} do
    engine = Vllm.Test.engine!(worker, runner: "pooling")
    Vllm.Test.embed(engine, "cat", [0.5, -1.0, 0.25])
    Vllm.Test.embed(engine, ~r/./, [[1, 2], [3, 4]])
    assert embedding(engine, "cat") == [0.5, -1.0, 0.25]
    assert embedding(engine, "dogs") == [[1.0, 2.0], [3.0, 4.0]]
    assert [_, %Request{method: :encode, prompt: "dogs"}] = Vllm.Test.requests(engine)
    assert %Request{prompt: "cat"} = Vllm.Test.assert_generated(engine, method: :encode)
  end
end
