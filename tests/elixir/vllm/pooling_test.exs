defmodule Vllm.RealEngine.PoolingTest do
  # What pooling engines answer to each task, and that no wrong parameter harms them. Names of
  # upstream tests are vLLM's. The engine for embeddings has a hidden size of 128; both tell bytes
  # apart, so a prompt has as many tokens as bytes.
  use Vllm.VllmEngine, engine: :pooling, also: [classifier: :classify, generating: :scripted]

  alias Vllm.{PoolingParams, PoolingRequestOutput, Tensor}

  @hidden 128
  @prompt "The chef prepared a delicious meal."

  describe "embeddings" do
    # tests/entrypoints/pooling/embed/test_offline.py:
    # test_str_prompts, test_token_ids_prompts, test_list_prompts
    test "are as long as the hidden size, for text and for ids", %{engine: engine} do
      from_text = pool(engine, @prompt, task: "embed")
      assert %PoolingRequestOutput{finished: true, num_cached_tokens: 0} = from_text
      assert length(from_text.prompt_token_ids) == byte_size(@prompt)
      assert %Tensor{dtype: "float32", shape: [@hidden]} = from_text.outputs.data

      ids = from_text.prompt_token_ids

      for prompt <- [ids, %{prompt_token_ids: ids}, %Vllm.TokensPrompt{prompt_token_ids: ids}] do
        output = pool(engine, prompt, task: "embed")
        assert output.prompt_token_ids == ids
        assert_close(values(output), values(from_text))
      end
    end

    # The same file, test_pooling_params
    test "are normalised unless use_activation says otherwise", %{engine: engine} do
      [default, yes, no] =
        for choice <- [nil, true, false],
            do: values(pool(engine, @prompt, task: "embed", use_activation: choice))

      assert_close(default, yes)
      assert_in_delta norm(yes), 1.0, 1.0e-4
      assert abs(norm(no) - 1.0) > 0.1
      length = norm(no)
      assert_close(Enum.map(no, &(&1 / length)), yes)
    end

    # tests/entrypoints/pooling/token_embed/test_offline.py::test_str_prompts
    test "of tokens are one for each of them", %{engine: engine} do
      output = pool(engine, @prompt, task: "token_embed")
      assert output.outputs.data.shape == [byte_size(@prompt), @hidden]
      # A sequence is embedded as its last token.
      last = output.outputs.data |> Tensor.to_list() |> List.last()
      assert_close(last, values(pool(engine, @prompt, task: "embed")))
    end

    test "depend on the truncated prompt only", %{engine: engine} do
      whole = pool(engine, @prompt, task: "embed").prompt_token_ids

      for opts <- [
            [tokenization_kwargs: %{truncate_prompt_tokens: 10}],
            [tokenization_kwargs: %{"truncation" => true, "max_length" => 10}],
            [truncate_prompt_tokens: 10]
          ] do
        output = pool(engine, @prompt, [task: "embed"], opts)
        assert {opts, length(output.prompt_token_ids)} == {opts, 10}
        assert output.prompt_token_ids in [Enum.take(whole, 10), Enum.take(whole, -10)]
        again = pool(engine, output.prompt_token_ids, task: "embed")
        assert_close(values(again), values(output))
      end
    end
  end

  describe "classes" do
    # tests/entrypoints/pooling/classify/test_offline.py: test_str_prompts, test_pooling_params
    test "have probabilities, or raw scores", %{classifier: engine} do
      [default, yes, no] =
        for choice <- [nil, true, false] do
          output = pool(engine, @prompt, task: "classify", use_activation: choice)
          assert %Tensor{dtype: "float32", shape: [2]} = output.outputs.data
          assert length(output.prompt_token_ids) == byte_size(@prompt)
          values(output)
        end

      assert_close(default, yes)
      assert_in_delta Enum.sum(yes), 1.0, 1.0e-5
      assert_close(softmax(no), yes)
      refute_in_delta hd(no), hd(yes), 1.0e-2
    end

    # tests/entrypoints/pooling/token_classify/test_offline.py::test_str_prompts
    test "of tokens are probabilities for each of them", %{classifier: engine} do
      output = pool(engine, @prompt, task: "token_classify")
      assert output.outputs.data.shape == [byte_size(@prompt), 2]
      rows = Tensor.to_list(output.outputs.data)
      for row <- rows, do: assert_in_delta(Enum.sum(row), 1.0, 1.0e-5)
      assert_close(List.last(rows), values(pool(engine, @prompt, task: "classify")))
    end

    test "differ from prompt to prompt, in requests at once", %{classifier: engine} do
      answers =
        1..32
        |> Enum.map(fn n ->
          Task.async(fn -> {n, pool(engine, "prompt #{n}", task: "classify")} end)
        end)
        |> Task.await_many(:infinity)

      for {n, output} <- answers do
        assert_close(values(output), values(pool(engine, "prompt #{n}", task: "classify")))
      end

      distinct =
        Enum.uniq_by(answers, fn {_n, output} -> Enum.map(values(output), &round(&1 * 1.0e4)) end)

      assert length(distinct) > 16
    end

    # On an engine with adapters vLLM's head wants the rows of all requests of a step, and is given
    # those for "classify" alone: EngineCore would end.
    test "of texts and of their tokens are the same in requests at once", %{classifier: engine} do
      tasks = for n <- 1..32, do: Enum.at(~w(classify token_classify classify), rem(n, 3))

      answers =
        tasks
        |> Enum.with_index()
        |> Enum.map(fn {task, n} ->
          Task.async(fn -> pool(engine, "prompt #{n}", task: task) end)
        end)
        |> Task.await_many(:infinity)

      for {{task, output}, n} <- tasks |> Enum.zip(answers) |> Enum.with_index() do
        alone = pool(engine, "prompt #{n}", task: task)
        assert_close(List.flatten(values(output)), List.flatten(values(alone)))
      end
    end
  end

  test "tasks are what each engine supports", %{engine: engine, classifier: classifier} do
    assert tasks(engine) == ["embed", "token_embed"]
    assert tasks(classifier) == ["classify", "token_classify"]
  end

  # tests/test_pooling_params.py: test_embed, test_embed_dimensions, test_classify, and the like
  test "parameters that a task does not take are refused, and the engine goes on", context do
    wrong = [
      {:engine,
       [
         [task: "embed", dimensions: 32],
         [task: "embed", dimensions: 0],
         [task: "embed", dimensions: -1],
         [task: "embed", dimensions: 2 ** 70],
         [task: "embed", step_tag_id: 1],
         [task: "embed", returned_token_ids: [1, 2]],
         [task: "token_embed", dimensions: 32],
         [task: "classify"],
         [task: "token_classify"]
       ]},
      {:classifier,
       [
         [task: "classify", dimensions: 2],
         [task: "token_classify", dimensions: 2],
         [task: "classify", step_tag_id: 1],
         [task: "classify", returned_token_ids: [1]],
         [task: "embed"],
         [task: "token_embed"]
       ]}
    ]

    for {which, all} <- wrong, engine = Map.fetch!(context, which) do
      # Of both engines.
      both = [
        [task: "score"],
        [task: "reward"],
        [task: "encode"],
        [task: "plugin"],
        [task: "embed&token_classify"],
        [task: ""],
        [task: 1],
        [task: "embed", use_activation: "yes"],
        [task: "embed", output_kind: :DELTA],
        [task: "embed", output_kind: "sometimes"],
        [task: "embed", extra_kwargs: [1]],
        [task: "embed", late_interaction_params: "x"],
        [task: "embed", step_tag_id: "1"],
        [task: "embed", returned_token_ids: ["1"]],
        [task: "embed", requires_token_ids: nil],
        [task: "embed", skip_reading_prefix_cache: 1]
      ]

      for params <- all ++ both,
          form <- [params, Map.new(params), struct!(PoolingParams, params)] do
        assert {_params, {:error, %Error{kind: :invalid} = error}} =
                 {params, AsyncLLM.encode(engine, @prompt, form, request_id())}

        assert String.length(error.message) > 10
      end

      task = if which == :engine, do: "embed", else: "classify"
      assert %PoolingRequestOutput{} = pool(engine, @prompt, task: task)
      assert unfinished(engine) == 0
    end
  end

  test "engines for pooling do not generate, and one that generates does not pool", context do
    for engine <- [context.engine, context.classifier] do
      assert {:error, %Error{kind: :invalid} = error} =
               AsyncLLM.generate(engine, "Hello", [max_tokens: 1], request_id())

      assert error.message =~ "does not support generation"
    end

    for task <- ["embed", "token_embed", "classify", "token_classify"] do
      assert {:error, %Error{kind: :invalid} = error} =
               AsyncLLM.encode(context.generating, "Hello", [task: task], request_id())

      assert error.message =~ "does not support pooling"
    end

    assert_well(context.generating)
  end

  # tests/v1/logits_processors/test_correctness.py and its neighbours: test_rejects_custom_logitsprocs
  test "logits processors are refused before an engine for pooling is built" do
    processors = ["python_worker.testing.logits_processor:OnlyToken"]

    assert {:error, %Error{kind: :invalid} = error} =
             build(:pooling, logits_processors: processors)

    assert error.message =~ "pooling model"
    assert error.details["parameter"] == "logits_processors"

    for {name, word} <- [
          {"no.such.module:Thing", "no"},
          {"python_worker.testing.logits_processor:Nothing", "Nothing"},
          {"python_worker.testing.logits_processor", "format"},
          {"collections:OrderedDict", "LogitsProcessor"}
        ] do
      assert {:error, %Error{kind: :invalid} = error} =
               build(:scripted, logits_processors: [name])

      assert {name, error.message =~ word} == {name, true}
    end
  end

  defp pool(engine, prompt, params, opts \\ []) do
    {:ok, stream} = AsyncLLM.encode(engine, prompt, params, request_id(), opts)
    assert [output] = Enum.to_list(stream)
    output
  end

  defp tasks(engine) do
    {:ok, tasks} = AsyncLLM.get_supported_tasks(engine)
    tasks |> Tuple.to_list() |> Enum.sort()
  end

  defp values(output), do: Tensor.to_list(output.outputs.data)

  defp norm(vector), do: :math.sqrt(Enum.sum(Enum.map(vector, &(&1 * &1))))

  defp softmax(scores) do
    powers = Enum.map(scores, &:math.exp/1)
    Enum.map(powers, &(&1 / Enum.sum(powers)))
  end

  # A batch may add floats in another order.
  defp assert_close(one, other) do
    assert length(one) == length(other)
    for {a, b} <- Enum.zip(one, other), do: assert_in_delta(a, b, 1.0e-4)
  end
end
