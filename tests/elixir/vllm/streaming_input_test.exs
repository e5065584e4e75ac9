defmodule Vllm.RealEngine.StreamingInputTest do
  # A prompt that is an enumerable, on vLLM's own engine. What upstream holds of it is in
  # tests/v1/e2e/general/test_streaming_input.py, whose tests are named here.
  use Vllm.VllmEngine, engine: :scripted, also: [random: :random]

  import Vllm.Elements, only: [gated: 1, tracked: 1]

  alias Vllm.StreamingInput

  @params [temperature: 0.0, max_tokens: 3, output_kind: :DELTA]

  setup %{engine: engine} do
    on_exit(fn -> assert_well(engine) end)
    %{id: request_id()}
  end

  # test_streaming_input.py::test_streaming_input_bunched
  test "elements that are available at once are answered in order", %{engine: engine} do
    outputs = bunched(engine, ["count", "Hello", " one"], @params)
    assert said(outputs) == " one two three" <> " from a scripted" <> " two three four"
    assert List.last(outputs).finished
    assert Enum.count(outputs, & &1.finished) == 1
    assert List.last(outputs).prompt == "countHello one"
  end

  test "cumulative outputs grow over all elements", %{engine: engine} do
    params = Keyword.put(@params, :output_kind, :CUMULATIVE)
    outputs = bunched(engine, ["count", "Hello"], params)
    assert text(List.last(outputs)) == " one two three from a scripted"
  end

  # test_streaming_input.py::test_streaming_input_output_equivalence
  test "elements at once and elements with pauses between them give the same text", %{
    random: engine
  } do
    elements = for n <- 1..4, do: %{prompt_token_ids: Enum.to_list((10 * n)..(10 * n + 6))}
    spaced = spaced(engine, elements, @params)
    assert token_ids(spaced) == token_ids(bunched(engine, elements, @params))

    # And the same as one request after the other, each with all that was said before. The last
    # token of an answer is not kept.
    {answers, _context} =
      Enum.map_reduce(elements, [], fn %{prompt_token_ids: ids}, context ->
        prompt = context ++ ids

        answer =
          ids(
            complete(engine, %{prompt_token_ids: prompt}, Keyword.delete(@params, :output_kind))
          )

        {answer, prompt ++ Enum.drop(answer, -1)}
      end)

    assert token_ids(spaced) == Enum.concat(answers)
  end

  # test_streaming_input.py::test_streaming_input_cancel_output_stream
  test "halting the outputs halts the enumeration", %{engine: engine} do
    elements = tracked(["count"]) |> Elixir.Stream.cycle()
    assert [_, _] = engine |> generate(elements, @params) |> Enum.take(2)
    assert_receive {:closed, _}
    wait_until(fn -> unfinished(engine) == 0 end)
  end

  # test_streaming_input.py::test_streaming_input_error_propagation
  test "an exception in the enumerable is the stream's error", %{engine: engine} do
    elements =
      tracked(["count"]) |> Elixir.Stream.concat(Elixir.Stream.map([1], fn _ -> raise "boom" end))

    assert {:error, %Error{kind: :invalid} = error} =
             engine |> generate(elements, @params) |> Vllm.Stream.collect()

    assert error.message == "the prompt's enumerable raised ** (RuntimeError) boom"
    assert_receive {:closed, _}
  end

  test "each element may have parameters of its own", %{engine: engine} do
    elements = [
      %StreamingInput{
        prompt: "count",
        sampling_params: %SamplingParams{max_tokens: 1, temperature: 0.0}
      },
      "Hello",
      [
        prompt: %{prompt: "count"},
        sampling_params: [max_tokens: 5, temperature: 0.0, stop_token_ids: []]
      ]
    ]

    outputs = bunched(engine, Elixir.Stream.map(elements, & &1), @params)
    assert said(outputs) == " one" <> " from a scripted" <> " one two three four five"
  end

  test "an answer that ends by itself is followed by the next", %{engine: engine} do
    outputs = bunched(engine, ["Hello", "count"], Keyword.put(@params, :max_tokens, 30))
    assert said(outputs) == hello() <> counting(30)
    assert hd(List.last(outputs).outputs).finish_reason == "length"
  end

  test "elements that end inside a character are no part of the text", %{engine: engine} do
    {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine)
    {:ok, ids} = Vllm.call(tokenizer, :encode, ["secret é"])
    element = %{prompt_token_ids: Enum.drop(ids, -1)}
    params = Keyword.merge(@params, max_tokens: 1, allowed_token_ids: [List.last(ids)])
    assert said(bunched(engine, [element, element, "count"], params)) =~ ~r/\Aéé/
  end

  test "without elements there are no items", %{engine: engine} do
    assert engine |> generate(tracked([]), @params) |> Enum.to_list() == []
    assert_receive {:closed, _}
  end

  describe "input that would end the engine is refused:" do
    test "elements that outgrow the window", %{engine: engine} do
      # 2048 tokens are room for two of these, with their answers.
      element = %{prompt_token_ids: List.duplicate(5, 1000)}
      stream = generate(engine, tracked([element, element, element]), @params)
      assert {:error, %Error{kind: :invalid} = error} = Vllm.Stream.collect(stream)
      assert error.message =~ "prompt[2]: with 1000 tokens more than the 2004 so far"
      assert_receive {:closed, _}
    end

    test "an element after an answer that filled the window", %{engine: engine} do
      elements = [%{prompt_token_ids: List.duplicate(5, 2040)}, "count"]
      params = Keyword.merge(@params, max_tokens: nil, ignore_eos: true)
      stream = generate(engine, tracked(elements), params)
      assert {:error, %Error{kind: :invalid} = error} = Vllm.Stream.collect(stream)
      assert error.message =~ "prompt[1]: with"
    end

    test "but an element that fits after a short answer is accepted", %{engine: engine} do
      outputs =
        bunched(engine, ["Hello", "Hello"], Keyword.put(@params, :max_tokens, 1500), :busy)

      assert said(outputs) == hello() <> hello()
    end

    for {what, params} <- [
          logprobs: [logprobs: 1],
          prompt_logprobs: [prompt_logprobs: 1],
          logprob_token_ids: [logprob_token_ids: [1]],
          structured_outputs: [structured_outputs: [choice: ["a", "b"]]]
        ] do
      test "#{what} that the first element did not ask for", %{engine: engine} do
        params = Keyword.merge([temperature: 0.0, max_tokens: 3], unquote(params))
        later = %StreamingInput{prompt: "count", sampling_params: params}
        stream = generate(engine, tracked(["count", later]), @params)
        assert {:error, %Error{kind: :invalid} = error} = Vllm.Stream.collect(stream)
        assert error.details["parameter"] =~ "prompt[1].sampling_params."
      end
    end

    test "elements of a wrong type, or out of the vocabulary", %{engine: engine} do
      for bad <- [
            %{prompt_token_ids: ["a"]},
            %{prompt_token_ids: [1_000_000]},
            %{prompt_token_ids: []},
            "",
            1.5,
            nil,
            %{prompt_embeds: %Vllm.Tensor{dtype: "float32", shape: [1, 3], data: <<0::96>>}},
            %StreamingInput{prompt: "count", sampling_params: [seed: 1.5]},
            %StreamingInput{prompt: "count", sampling_params: [n: 2]},
            %StreamingInput{prompt: "count", sampling_params: [stop: ["x"]]}
          ] do
        stream = generate(engine, Elixir.Stream.map(["count", bad], & &1), @params)
        assert {:error, %Error{kind: :invalid}} = Vllm.Stream.collect(stream)
      end
    end
  end

  for {what, params} <- [n: [n: 2], stop: [stop: ["x"]], kind: [output_kind: :FINAL_ONLY]] do
    test "the call refuses what vLLM does not allow with a stream: #{what}", context do
      assert {:error, %Error{kind: :invalid} = error} =
               AsyncLLM.generate(context.engine, tracked(["count"]), unquote(params), context.id)

      assert error.message =~ "Input streaming not currently supported"
      refute_received {:opened, _}
    end
  end

  test "aborting it by its id ends both streams", %{engine: engine, id: id} do
    elements = tracked(["count"]) |> Elixir.Stream.concat(gated(["Hello"]))
    {:ok, stream} = AsyncLLM.generate(engine, elements, @params, id)
    assert_receive {:at_gate, producer, "Hello"}
    monitor = Process.monitor(producer)
    task = Task.async(fn -> Vllm.Stream.collect(stream) end)
    {:ok, nil} = AsyncLLM.abort(engine, id)

    assert {:ok, %RequestOutput{outputs: [%{finish_reason: "abort"}]}} =
             Task.await(task, :infinity)

    send(producer, :go)
    assert_receive {:DOWN, ^monitor, :process, _, :normal}
  end

  test "a collector reads it too, after the call", %{engine: engine, id: id} do
    {:ok, %Ref{} = collector} =
      AsyncLLM.add_request(engine, id, tracked(["count", "Hello"]), @params)

    outputs =
      Elixir.Stream.repeatedly(fn -> Vllm.call(collector, :get) end)
      |> Elixir.Stream.take_while(&(&1 != {:ok, nil}))
      |> Enum.map(fn {:ok, output} -> output end)

    assert Enum.map_join(outputs, &text/1) == " one two three from a scripted"
    assert_receive {:closed, _}
  end

  test "releasing the collector ends the enumeration", %{engine: engine, id: id} do
    elements = tracked(["count"]) |> Elixir.Stream.concat(gated(["Hello"]))
    {:ok, %Ref{} = collector} = AsyncLLM.add_request(engine, id, elements, @params)
    assert_receive {:at_gate, producer, "Hello"}
    monitor = Process.monitor(producer)
    :ok = Vllm.release(collector)
    wait_until(fn -> unfinished(engine) == 0 end)
    send(producer, :go)
    assert_receive {:DOWN, ^monitor, :process, _, :normal}
  end

  test "sixteen at a time, among ordinary requests", %{engine: engine} do
    tasks =
      for n <- 1..16 do
        Task.async(fn ->
          elements = Elixir.Stream.map(["#{n}: count", "Hello"], & &1)

          {engine |> generate(elements, @params) |> Enum.map_join(&text/1),
           text(complete(engine, "count", temperature: 0.0, max_tokens: 3))}
        end)
      end

    expected = {" one two three from a scripted", " one two three"}
    assert Task.await_many(tasks, :infinity) == List.duplicate(expected, 16)
  end

  # All elements and their end are there before anything is answered, unless the engine is :busy.
  defp bunched(engine, elements, params, state \\ :paused) do
    test = self()

    {:ok, nil} =
      if state == :paused, do: AsyncLLM.pause_generation(engine, mode: "keep"), else: {:ok, nil}

    told =
      Elixir.Stream.resource(fn -> nil end, fn _ -> {:halt, nil} end, fn _ ->
        send(test, :all_told)
      end)

    stream = generate(engine, Elixir.Stream.concat(elements, told), params)

    if state == :paused do
      assert_receive :all_told
      # What was sent before is taken before this is answered.
      {:ok, true} = AsyncLLM.is_paused(engine)
      {:ok, nil} = AsyncLLM.resume_generation(engine)
    end

    Enum.to_list(stream)
  end

  # The next element is made when the one before is answered.
  defp spaced(engine, elements, params) do
    stream = generate(engine, gated(elements), params)
    open_gate()

    {outputs, 0} =
      Enum.map_reduce(stream, length(elements) - 1, fn output, left ->
        answered? = hd(output.outputs).finish_reason != nil
        if answered? and left > 0, do: open_gate()
        {output, if(answered?, do: max(left - 1, 0), else: left)}
      end)

    outputs
  end

  defp open_gate do
    assert_receive {:at_gate, producer, _element}
    send(producer, :go)
  end

  # What was said to each element: an answer ends with a reason.
  # Where one answer ends and the next begins cannot be told: what comes while the consumer is busy
  # is merged into one item.
  defp said(outputs), do: Enum.map_join(outputs, &text/1)
  defp token_ids(outputs), do: Enum.flat_map(outputs, &ids/1)
end
