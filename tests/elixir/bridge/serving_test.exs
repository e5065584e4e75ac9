defmodule Vllm.Bridge.ServingTest do
  # Batches of texts on a fake engine.
  use Vllm.TestKitCase, async: true

  alias Vllm.{Serving, Test}

  test "a text has one output, and a list one for each text, in their order", %{engine: engine} do
    Test.reply(engine, "a", " one two")
    Test.reply(engine, "b", " three")
    serving = Serving.new(engine, max_tokens: 9)

    assert {:ok, %{results: [%{text: " one two", token_summary: summary}]}} =
             Serving.run(serving, "a")

    assert %{input: input, output: 2, padding: 0} = summary
    assert input > 0
    assert {:ok, outputs} = Serving.run(serving, ["b", "a", "b"])

    assert for(%{results: [result]} <- outputs, do: result.text) == [
             " three",
             " one two",
             " three"
           ]

    assert Serving.run(serving, []) == {:ok, []}
    assert [%{params: %{max_tokens: 9}} | _] = Test.requests(engine)
  end

  test "every completion is a result", %{engine: engine} do
    Test.reply(engine, :any, "yes")
    assert {:ok, %{results: results}} = Serving.run(Serving.new(engine, n: 3), "a")
    assert for(result <- results, do: result.text) == ["yes", "yes", "yes"]
  end

  test "a longer batch runs a part at a time, in its order", %{engine: engine} do
    texts = for number <- 1..7, do: "text #{number}"
    serving = Serving.new(engine, concurrency: 2, max_tokens: 3)
    assert {:ok, outputs} = Serving.run(serving, texts)
    assert length(outputs) == 7
    assert for(request <- Test.requests(engine), do: request.prompt) == texts
  end

  test "at most `concurrency` requests are in the engine, until the caller ends", %{
    engine: engine
  } do
    Test.hang_after(engine, 0)
    serving = Serving.new(engine, concurrency: 3)
    task = Task.async(fn -> Serving.run(serving, ["a", "b", "c", "d", "e"]) end)
    Test.assert_live(engine, 3)
    assert for(request <- Test.requests(engine), do: request.prompt) == ["a", "b", "c"]
    Task.shutdown(task, :brutal_kill)
    Test.assert_live(engine, 0)
  end

  test "the first text that fails ends the batch, and nothing is left in the engine", %{
    engine: engine
  } do
    Test.refuse(engine, :invalid, prompt: "bad")
    serving = Serving.new(engine, max_tokens: 100_000)

    assert {:error, %Error{kind: :invalid} = error} =
             Serving.run(serving, ["good", "bad", "good"])

    assert error.message =~ ~r/\Ainputs\[1\]: /
    assert error.details["input"] == 1
    Test.assert_live(engine, 0)

    assert {:error, %Error{kind: :invalid} = error} = Serving.run(serving, "bad")
    refute error.message =~ "inputs["
    refute Map.has_key?(error.details, "input")
  end

  test "a text can be embedded", %{worker: worker} do
    engine = Test.engine!(worker, runner: "pooling")
    Test.embed(engine, "a", [1.0, 2.0])
    Test.embed(engine, "b", [3.0, 4.0])
    serving = Serving.new(engine, task: :embed)
    assert {:ok, [%{embedding: first}, %{embedding: second}]} = Serving.run(serving, ["b", "a"])
    assert Vllm.Tensor.to_list(first) == [3.0, 4.0]
    assert {:ok, %{embedding: ^second}} = Serving.run(serving, "a")
  end

  test "an engine is found by its name", %{test: name} do
    start_supervised!({Vllm.Test, name: name, engines: [llama: [model: "fake"]]})
    {:ok, engine} = Vllm.engine(name, :llama)
    Test.reply(engine, :any, "found")
    assert {:ok, %{results: [%{text: "found"}]}} = Serving.run(Serving.new({name, :llama}), "x")
  end

  test "what is wrong is an error that names it", %{engine: engine} do
    for {serving, input, word} <- [
          {Serving.new(engine), :text, "wants a text"},
          {Serving.new(engine), ["a", nil], "inputs[1]"},
          {Serving.new(engine), ["a" | "b"], "wants a text"},
          {Serving.new(engine, task: :draw), "a", "task"},
          {Serving.new(engine, concurrency: 0), "a", "concurrency"},
          {Serving.new(engine, temprature: 1), "a", "temprature"},
          {Serving.new(engine, %{}), "a", "options of a serving"},
          {Serving.new(:nobody), "a", "engine"},
          {engine, "a", "Vllm.Serving"}
        ] do
      assert {:error, %Error{kind: :invalid, message: message}} = Serving.run(serving, input)
      assert message =~ word
    end
  end
end
