defmodule Vllm.RealEngine.EncodeTest do
  use Vllm.VllmEngine, engine: :pooling, also: [generating: :scripted]

  alias Vllm.{PoolingOutput, PoolingParams, PoolingRequestOutput, Tensor}

  @embed [task: "embed"]

  test "an embedding is a tensor of length one", %{engine: engine} do
    for params <- [%PoolingParams{task: "embed"}, [task: "embed"], %{"task" => "embed"}] do
      assert [output] = engine |> encode("Hello world", params) |> Enum.to_list()
      assert %PoolingRequestOutput{finished: true, outputs: %PoolingOutput{data: data}} = output
      assert length(output.prompt_token_ids) == String.length("Hello world")
      assert %Tensor{dtype: "float32", shape: [128]} = data
      assert_in_delta norm(data), 1.0, 1.0e-4
    end
  end

  test "the same prompt has the same embedding, another prompt another", %{engine: engine} do
    [cat, again, dog] = for text <- ["a cat", "a cat", "two dogs"], do: embed(engine, text)
    assert cat == again
    assert dot(cat, dog) < 0.999
  end

  test "tokens have a vector each", %{engine: engine} do
    assert [output] = engine |> encode("Hello", task: "token_embed") |> Enum.to_list()
    assert %Tensor{dtype: "float32", shape: [5, 128]} = output.outputs.data
  end

  test "a prompt may be ids", %{engine: engine} do
    [output] = engine |> encode("Hello", task: "embed") |> Enum.to_list()
    prompt = %{prompt_token_ids: output.prompt_token_ids}
    assert embed(engine, prompt) == output.outputs.data
  end

  test "64 requests at once are answered each with its own", %{engine: engine} do
    alone = for n <- 1..64, do: embed(engine, "text #{n}")

    at_once =
      1..64
      |> Enum.map(&Task.async(fn -> embed(engine, "text #{&1}") end))
      |> Task.await_many(:infinity)

    # A batch may add floats in another order.
    for {one, other} <- Enum.zip(alone, at_once),
        do: assert_in_delta(dot(one, other), 1.0, 1.0e-4)
  end

  test "cancelled requests are aborted, and the others answered", context do
    engine = context.engine
    {:ok, nil} = AsyncLLM.pause_generation(engine, mode: "keep")
    [kept, cancelled] = for _ <- 1..2, do: for(n <- 1..3, do: encode(engine, "text #{n}", @embed))

    # In turn by its owner's death, by its deadline, and by a word.
    owner = Task.async(fn -> for n <- 1..3, do: encode(engine, "text #{n}", @embed) end)
    assert [_, _, _] = Task.await(owner, :infinity)
    wait_until(fn -> unfinished(engine) == 6 end)

    for _ <- 1..3, {:ok, stream} <- [late(engine)] do
      assert {:error, %Error{kind: :timeout}} = Stream.collect(stream)
    end

    for stream <- cancelled, do: assert(Stream.cancel(stream) == :ok)
    wait_until(fn -> unfinished(engine) == 3 end)
    {:ok, nil} = AsyncLLM.resume_generation(engine)

    for {stream, n} <- Enum.with_index(kept, 1) do
      assert {:ok, %{finished: true, outputs: %{data: data}}} = Stream.collect(stream)
      assert_in_delta dot(data, embed(engine, "text #{n}")), 1.0, 1.0e-4
    end

    wait_until(fn -> unfinished(engine) == 0 end)
  end

  test "wrong parameters are refused, and the engine goes on", %{engine: engine} do
    for {params, word} <- [
          {[task: "sing"], "task"},
          {[task: 7], "task"},
          {[task: "embed", dimensions: "3"], "dimensions"},
          {[task: "embed", use_activation: 1], "use_activation"},
          {[task: "classify"], "classify"},
          {[tsak: "embed"], "tsak"},
          {nil, "pooling_params"},
          {%Vllm.SamplingParams{}, "pooling_params"}
        ] do
      assert {:error, %Error{kind: :invalid} = error} =
               AsyncLLM.encode(engine, "Hello", params, request_id())

      assert {params, error.message =~ word} == {params, true}
    end

    for prompt <- ["", [], nil, 7, [-1], [1_000_000], String.duplicate("x", 5000)] do
      assert {:error, %Error{kind: :invalid}} =
               AsyncLLM.encode(engine, prompt, [task: "embed"], request_id())
    end

    assert_in_delta norm(embed(engine, "Hello")), 1.0, 1.0e-4
  end

  test "an engine for pooling does not generate, and says so", %{engine: engine} do
    assert {:error, %Error{kind: :invalid} = error} =
             AsyncLLM.generate(engine, "Hello", [max_tokens: 1], request_id())

    assert error.message =~ "does not support generation"
  end

  test "an engine for generation does not pool, and says so", %{generating: engine} do
    assert {:error, %Error{kind: :invalid} = error} =
             AsyncLLM.encode(engine, "Hello", [task: "embed"], request_id())

    assert error.message =~ "does not support pooling"
  end

  defp encode(engine, prompt, params) do
    {:ok, stream} = AsyncLLM.encode(engine, prompt, params, request_id())
    stream
  end

  # Its deadline passes while the engine has it, or, on a busy machine, before.
  defp late(engine) do
    result = AsyncLLM.encode(engine, "late", @embed, request_id(), rpc: [timeout: 50])
    with {:error, error} <- result, do: assert(error.kind == :timeout)
    result
  end

  defp embed(engine, prompt) do
    {:ok, output} = engine |> encode(prompt, task: "embed") |> Stream.collect()
    output.outputs.data
  end

  defp norm(tensor), do: :math.sqrt(dot(tensor, tensor))

  defp dot(one, other) do
    Enum.zip_with(Tensor.to_list(one), Tensor.to_list(other), &(&1 * &2)) |> Enum.sum()
  end
end
