defmodule Vllm.Bridge.PoolingTest do
  # Batches of pooling on fake engines: what is sent, what comes back, and how a batch ends.
  use Vllm.TestKitCase

  alias Vllm.{
    EmbeddingBatch,
    Error,
    PoolingBatch,
    PoolingUsage,
    Ref,
    ScoreBatch,
    StandIns,
    Tensor,
    Test,
    TokensPrompt
  }

  setup %{worker: worker} do
    %{embedder: Test.engine!(worker, runner: "pooling", max_model_len: 64)}
  end

  test "a batch of embeddings is one tensor, in the order of the inputs", %{embedder: engine} do
    inputs = ["a", [5, 6], %TokensPrompt{prompt_token_ids: [7, 8, 9]}, %{prompt: "b"}]
    assert {:ok, %EmbeddingBatch{} = batch} = Vllm.embed(engine, inputs)
    assert batch.embeddings.shape == [4, 8]
    assert [_, [6.0 | _], [9.0 | _], _] = Tensor.to_list(batch.embeddings)
    assert batch.prompt_tokens == [1, 2, 3, 1]
    assert batch.cached_tokens == [0, 0, 0, 0]
    assert batch.usage == %PoolingUsage{prompt_tokens: 7, cached_tokens: 0}
    assert {:ok, %EmbeddingBatch{embeddings: %{shape: [1, 8]}}} = Vllm.embed(engine, "a")
  end

  test "a test scripts embeddings, and sees the requests", %{embedder: engine} do
    Test.embed(engine, "cat", [1.0, 0.0])
    Test.embed(engine, "kitten", [0.8, 0.6])
    Test.embed(engine, "bank", [0.0, 1.0])

    assert {:ok, batch} = Vllm.embed(engine, ["cat", "bank"])
    assert Tensor.to_list(batch.embeddings) == [[1.0, 0.0], [0.0, 1.0]]
    assert {:ok, %ScoreBatch{} = batch} = Vllm.score(engine, "cat", ["kitten", "bank"])
    assert [near, far] = Tensor.to_list(batch.scores)
    assert_in_delta near, 0.8, 1.0e-6
    assert_in_delta far, 0.0, 1.0e-6
    assert {:ok, batch} = Vllm.score(engine, ["cat", "bank"], ["kitten", "bank"])
    assert [_, 1.0] = Tensor.to_list(batch.scores)
  end

  test "tasks by name have a tensor for each input", %{embedder: engine} do
    assert {:ok, %PoolingBatch{task: "token_embed"} = batch} =
             Vllm.encode(engine, [[1, 2], [3]], task: "token_embed")

    assert Enum.map(batch.outputs, & &1.shape) == [[2, 8], [1, 8]]
    assert {:ok, batch} = Vllm.encode(engine, ["a", "b"], task: "embed", dimensions: 3)
    assert Enum.map(batch.outputs, & &1.shape) == [[3], [3]]
  end

  test "parameters are for all, or one for each", %{embedder: engine} do
    assert {:ok, %{embeddings: %{shape: [2, 5]}}} = Vllm.embed(engine, ~w(a b), dimensions: 5)
    params = [[dimensions: 3], %{dimensions: 4}]

    assert {:ok, %{outputs: outputs}} =
             Vllm.encode(engine, ~w(a b), task: "embed", pooling_params: params)

    assert Enum.map(outputs, & &1.shape) == [[3], [4]]

    assert {:error, %Error{kind: :invalid} = error} =
             Vllm.embed(engine, ["a"], pooling_params: params)

    assert error.message =~ "as many as there are inputs, 1; got 2"
    assert error.details["parameter"] == "pooling_params"

    assert {:error, %Error{kind: :invalid} = error} =
             Vllm.embed(engine, ~w(a b), pooling_params: params)

    assert error.message =~ "shapes"
  end

  test "one input that fails ends the batch, and is named", %{embedder: engine} do
    long = String.duplicate("x ", 100)
    assert {:error, %Error{kind: :invalid} = error} = Vllm.embed(engine, ["a", "b", long, "c"])
    assert error.message =~ ~r/^inputs\[2\]: .*longer than the maximum/
    assert %{"argument" => "inputs", "input" => 2} = error.details
    assert {:error, %Error{kind: :invalid} = error} = Vllm.score(engine, "a", ["b", long])
    assert error.message =~ ~r/^documents\[1\]: /

    Test.refuse(engine, {:engine_error, "no room"}, prompt: "d")
    assert {:error, %Error{kind: :engine_error} = error} = Vllm.embed(engine, ["a", "d"])
    assert error.message =~ "inputs[1]"
    Test.assert_live(engine, 0)
  end

  test "what is left is aborted when an input fails, the caller ends or the time is over",
       context do
    engine = context.embedder
    Test.hang(engine, :encode)
    assert {:error, %Error{kind: :timeout}} = Vllm.embed(engine, ~w(a b), rpc: [timeout: 100])
    Test.mend(engine, :encode)
    assert {:ok, %EmbeddingBatch{}} = Vllm.embed(engine, ~w(a b))
    Test.assert_live(engine, 0)
  end

  test "a batch that takes its time tells how far it has come", %{embedder: engine} do
    StandIns.telemetry()
    Test.delay(engine, :encode, 600)

    for {call, method} <- [
          {&Vllm.embed/2, "embed"},
          {&Vllm.encode(&1, &2, task: "token_embed"), "encode_batch"}
        ] do
      assert {:ok, _batch} = call.(engine, ~w(a b))

      assert {_, measurements, metadata, caller} =
               List.last(StandIns.events([:vllm, :llm, :progress]))

      assert %{done: 2, total: 2} = measurements
      assert %{class: "AsyncLLM", method: ^method, description: "Processed inputs"} = metadata
      assert caller == self()
    end
  end

  test "wrong batches are refused", %{embedder: engine, worker: worker} do
    for {call, kind, said} <- [
          {fn -> Vllm.embed(engine, []) end, :invalid, "inputs: wants at least one"},
          {fn -> Vllm.score(engine, "a", []) end, :invalid, "documents: wants at least one"},
          {fn -> Vllm.score(engine, [], "a") end, :invalid, "queries: wants at least one"},
          {fn -> Vllm.score(engine, ~w(a b), ~w(c d e)) end, :invalid, "as many as there are"},
          {fn -> Vllm.embed(engine, "a", priority: [1, 2]) end, :invalid, "priority"},
          {fn -> Vllm.embed(engine, "a", model: "x") end, :unsupported, "model"},
          {fn -> Vllm.embed(engine, %{messages: "x"}) end, :unsupported, "messages"},
          {fn -> Vllm.embed(engine, "a", pooling_params: [task: "classify"]) end, :invalid,
           "task"},
          {fn -> Vllm.classify(engine, "a") end, :unsupported, "convert='classify'"}
        ] do
      assert {:error, %Error{kind: ^kind} = error} = call.()
      assert {error.message, error.message =~ said} == {error.message, true}
    end

    generating = Test.engine!(worker)
    assert {:error, %Error{kind: :unsupported} = error} = Vllm.embed(generating, "a")
    assert error.message =~ "runner='pooling'"
    assert %{"supported_tasks" => ["generate"], "convert" => "embed"} = error.details

    llm = %Ref{engine | type: "LLM"}
    assert {:error, %Error{kind: :unsupported} = error} = Vllm.embed(llm, "a")
    assert error.message =~ "Vllm.LLM"
  end

  test "thousands of inputs are one call", %{embedder: engine} do
    inputs = for n <- 1..3000, do: [n]
    assert {:ok, batch} = Vllm.embed(engine, inputs)
    assert Enum.map(Tensor.to_list(batch.embeddings), &hd/1) == Enum.map(1..3000, &(&1 * 1.0))
  end
end
