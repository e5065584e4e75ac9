defmodule Vllm.RealEngine.PoolingBatchesTest do
  # Batches of pooling on real engines. That their numbers are those of vLLM's LLM is held in
  # tests/python/vllm/test_poolings.py. Names of upstream tests are vLLM's. The engine for embeddings
  # has a hidden size of 128, the classifier two labels; both tell bytes apart, so a prompt has as many
  # tokens as bytes.
  use Vllm.VllmEngine, engine: :pooling, also: [classifier: :classify, generating: :scripted]

  alias Vllm.{
    ClassificationBatch,
    EmbeddingBatch,
    PoolingBatch,
    PoolingParams,
    PoolingUsage,
    Tensor,
    TokensPrompt
  }

  @hidden 128
  @prompt "The chef prepared a delicious meal."

  setup context do
    on_exit(fn ->
      for engine <- [context.engine, context.classifier],
          do: wait_until(fn -> unfinished(engine) == 0 end)
    end)
  end

  # tests/entrypoints/pooling/embed/test_offline.py:
  # test_str_prompts, test_token_ids_prompts, test_list_prompts
  test "embeddings are as long as the hidden size, for texts and for ids", %{engine: engine} do
    assert {:ok, %EmbeddingBatch{} = text} = Vllm.embed(engine, @prompt)
    assert %Tensor{dtype: "float32", shape: [1, @hidden]} = text.embeddings
    assert text.prompt_tokens == [byte_size(@prompt)]
    assert %PoolingUsage{prompt_tokens: tokens} = text.usage
    assert tokens == byte_size(@prompt)
    ids = ids(engine, @prompt)

    assert {:ok, batch} =
             Vllm.embed(engine, [
               @prompt,
               ids,
               %{prompt_token_ids: ids},
               %TokensPrompt{prompt_token_ids: ids}
             ])

    assert batch.embeddings.shape == [4, @hidden]
    [expected] = Tensor.to_list(text.embeddings)
    for row <- Tensor.to_list(batch.embeddings), do: assert_close(row, expected)
    [row | _] = Tensor.rows(batch.embeddings)
    assert_in_delta Tensor.cosine(row, row), 1.0, 1.0e-6
  end

  # tests/entrypoints/pooling/token_embed/test_offline.py::test_str_prompts
  test "token_embed has a row for each token", %{engine: engine} do
    prompts = [@prompt, "short"]
    assert {:ok, %PoolingBatch{} = batch} = Vllm.encode(engine, prompts, task: "token_embed")
    assert Enum.map(batch.outputs, & &1.shape) == for(p <- prompts, do: [byte_size(p), @hidden])
    # A sequence is embedded as its last token.
    {:ok, whole} = Vllm.embed(engine, prompts)

    for {tokens, row} <- Enum.zip(batch.outputs, Tensor.to_list(whole.embeddings)),
        do: assert_close(List.last(Tensor.to_list(tokens)), row)
  end

  # tests/entrypoints/pooling/token_classify/test_offline.py::test_str_prompts
  test "token_classify has a row of labels for each token", %{classifier: engine} do
    prompts = [@prompt, "short"]
    assert {:ok, %PoolingBatch{} = batch} = Vllm.encode(engine, prompts, task: "token_classify")
    assert Enum.map(batch.outputs, & &1.shape) == for(p <- prompts, do: [byte_size(p), 2])
  end

  # tests/entrypoints/pooling/embed/test_offline.py::test_pooling_params
  test "embeddings are normalised unless use_activation is false", %{engine: engine} do
    [default, yes, no] =
      for choice <- [nil, true, false] do
        {:ok, batch} = Vllm.embed(engine, @prompt, use_activation: choice)
        batch.embeddings |> Tensor.to_list() |> hd()
      end

    length = :math.sqrt(Enum.sum(Enum.map(no, &(&1 * &1))))
    assert abs(length - 1.0) > 0.1
    assert_close(default, yes)
    assert_close(Enum.map(no, &(&1 / length)), yes)
  end

  # tests/entrypoints/pooling/classify/test_offline.py: test_str_prompts, test_pooling_params
  test "classes have names and probabilities, or raw scores", %{classifier: engine} do
    [default, yes, no] =
      for choice <- [nil, true, false] do
        assert {:ok, %ClassificationBatch{labels: ["LABEL_0", "LABEL_1"]} = batch} =
                 Vllm.classify(engine, [@prompt, "x"], use_activation: choice)

        assert batch.probs.shape == [2, 2]
        batch.probs |> Tensor.to_list() |> hd()
      end

    assert_close(default, yes)
    assert_in_delta Enum.sum(yes), 1.0, 1.0e-5
    powers = Enum.map(no, &:math.exp/1)
    assert_close(Enum.map(powers, &(&1 / Enum.sum(powers))), yes)
  end

  # tests/entrypoints/pooling/basic/test_encode.py::test_multiple_pooling_params
  test "parameters are one for all inputs, or one for each", %{engine: engine} do
    inputs = List.duplicate(@prompt, 4)

    for params <- [
          List.duplicate(%PoolingParams{}, 4),
          %PoolingParams{},
          [],
          nil,
          [nil, [], %{}, nil]
        ],
        params != [] do
      assert {:ok, %{embeddings: %{shape: [4, @hidden]}}} =
               Vllm.embed(engine, inputs, pooling_params: params)
    end

    assert {:error, %Error{kind: :invalid} = error} =
             Vllm.embed(engine, inputs, pooling_params: List.duplicate(%PoolingParams{}, 3))

    assert error.message =~ "as many as there are inputs, 4; got 3"
  end

  # tests/test_pooling_params.py: test_embed, test_embed_dimensions, test_classify
  test "parameters that a task does not take are refused", context do
    for {engine, function, opts, said} <- [
          {:engine, :embed, [dimensions: 32], "Matryoshka"},
          {:engine, :embed, [pooling_params: [dimensions: 32]], "Matryoshka"},
          {:engine, :embed, [pooling_params: [step_tag_id: 1]], "step_tag_id"},
          {:engine, :embed, [pooling_params: [returned_token_ids: [1]]], "returned_token_ids"},
          {:engine, :embed, [pooling_params: [task: "classify"]], "task"},
          {:engine, :embed, [pooling_params: [use_activation: 1]], "use_activation"},
          {:engine, :embed, [pooling_params: [nonsense: 1]], "nonsense"},
          {:classifier, :classify, [pooling_params: [dimensions: 2]], "dimensions"},
          {:classifier, :classify, [pooling_params: [step_tag_id: 1]], "step_tag_id"}
        ] do
      assert {:error, %Error{kind: :invalid} = error} =
               apply(Vllm, function, [context[engine], [@prompt, @prompt], opts])

      assert {opts, error.message =~ said} == {opts, true}
    end
  end

  # tests/entrypoints/pooling/classify/test_offline.py::test_score_api
  test "a classifier of two labels does not score", %{classifier: engine} do
    assert {:error, %Error{kind: :unsupported} = error} = Vllm.score(engine, "ping", "pong")
    assert error.message =~ "only enabled for num_labels == 1"
    assert error.details["num_labels"] == 2
  end

  test "a model that does not do a task says what it does", context do
    for {engine, call, convert} <- [
          {:engine, &Vllm.classify(&1, "a"), "classify"},
          {:engine, &Vllm.encode(&1, "a", task: "token_classify"), "classify"},
          {:classifier, &Vllm.embed(&1, "a"), "embed"},
          {:generating, &Vllm.embed(&1, "a"), "embed"},
          {:generating, &Vllm.classify(&1, "a"), "classify"},
          {:generating, &Vllm.score(&1, "a", "b"), "embed"}
        ] do
      assert {:error, %Error{kind: :unsupported} = error} = call.(context[engine])
      assert error.message =~ "convert='#{convert}'"
      assert error.details["convert"] == convert
      {:ok, tasks} = AsyncLLM.get_supported_tasks(context[engine])
      tasks = if is_tuple(tasks), do: Tuple.to_list(tasks), else: tasks
      assert Enum.sort(error.details["supported_tasks"]) == Enum.sort(tasks)
    end

    assert_well(context.generating)
  end

  test "scores are the cosines of embeddings", %{engine: engine} do
    documents = [@prompt, "The sea is calm.", "x"]
    {:ok, rows} = Vllm.embed(engine, documents)
    [first | _] = rows = Tensor.rows(rows.embeddings)
    assert {:ok, batch} = Vllm.score(engine, @prompt, documents)
    assert_close(Tensor.to_list(batch.scores), Enum.map(rows, &Tensor.cosine(first, &1)))
    assert {:ok, batch} = Vllm.score(engine, documents, documents)
    assert_close(Tensor.to_list(batch.scores), [1.0, 1.0, 1.0])
    count = documents |> Enum.map(&byte_size/1) |> Enum.sum()
    assert batch.usage.prompt_tokens == 2 * count
  end

  test "long inputs are truncated where that is asked for", %{engine: engine} do
    long = String.duplicate("word ", 200)
    assert {:error, %Error{kind: :invalid} = error} = Vllm.embed(engine, ["a", long])
    assert error.message =~ ~r/^inputs\[1\]: .*maximum context length/
    assert %{"argument" => "inputs", "input" => 1} = error.details
    assert {:ok, batch} = Vllm.embed(engine, ["a", long], truncate_prompt_tokens: 10)
    assert batch.prompt_tokens == [1, 10]
    assert {:ok, batch} = Vllm.embed(engine, ["a", long], truncate_prompt_tokens: -1)
    assert batch.prompt_tokens == [1, 512]
  end

  test "messages are rendered by the chat template", %{engine: engine} do
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}"
    input = %{messages: [{:user, "Hello"}], chat_template: template}
    assert {:ok, batch} = Vllm.embed(engine, [input, "user: Hello"])
    [rendered, text] = Tensor.to_list(batch.embeddings)
    assert_close(rendered, text)
  end

  # The engine waits, so that the requests are not over before they are looked for.
  test "a batch whose caller is killed is aborted, and others go on", %{engine: engine} do
    {:ok, nil} = AsyncLLM.pause_generation(engine, mode: "keep")
    kept = Task.async(fn -> Vllm.embed(engine, ["a", "b"]) end)
    wait_until(fn -> unfinished(engine) == 2 end)
    caller = spawn(fn -> Vllm.embed(engine, List.duplicate("c", 30)) end)
    wait_until(fn -> unfinished(engine) == 32 end)
    Process.exit(caller, :kill)
    wait_until(fn -> unfinished(engine) == 2 end)
    {:ok, nil} = AsyncLLM.resume_generation(engine)
    assert {:ok, %EmbeddingBatch{}} = Task.await(kept, :infinity)
  end

  test "batches of many callers at once are answered each with its own", %{engine: engine} do
    alone = for n <- 1..8, do: row(engine, "text #{n}")

    at_once =
      1..8
      |> Enum.map(fn n ->
        Task.async(fn -> Vllm.embed(engine, List.duplicate("text #{n}", 20)) end)
      end)
      |> Task.await_many(:infinity)

    for {expected, {:ok, batch}} <- Enum.zip(alone, at_once),
        row <- Tensor.to_list(batch.embeddings),
        do: assert_close(row, expected)
  end

  defp row(engine, text) do
    {:ok, batch} = Vllm.embed(engine, text)
    batch.embeddings |> Tensor.to_list() |> hd()
  end

  defp ids(engine, text) do
    {:ok, stream} = AsyncLLM.encode(engine, text, [task: "embed"], request_id())
    [output] = Enum.to_list(stream)
    output.prompt_token_ids
  end

  # A batch may add floats in another order.
  defp assert_close(one, other) do
    assert length(one) == length(other)
    for {a, b} <- Enum.zip(one, other), do: assert_in_delta(a, b, 1.0e-4)
  end
end
