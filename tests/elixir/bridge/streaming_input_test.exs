defmodule Vllm.Bridge.StreamingInputTest do
  # A prompt that is an enumerable, through the real worker to the scripted engine, which asks for the
  # next element when the one before is answered.
  use Vllm.BridgeCase, async: true

  import Vllm.Elements, only: [gated: 1, tracked: 1]

  alias Vllm.{SamplingParams, StreamingInput}

  @params [max_tokens: 2, output_kind: :DELTA]

  test "every element continues the request, with its own parameters or those of the call",
       context do
    elements = [
      "one",
      %{"prompt_token_ids" => [5, 6, 7]},
      [8, 9],
      %StreamingInput{prompt: "four", sampling_params: %SamplingParams{max_tokens: 1}},
      [prompt: "five", sampling_params: [max_tokens: 3, output_kind: :DELTA]],
      %StreamingInput{prompt: %{"prompt" => "six"}}
    ]

    outputs = context.engine |> generate(tracked(elements)) |> Enum.to_list()
    answers = Enum.chunk_by(outputs, & &1.prompt_token_ids)

    assert Enum.map(answers, &(&1 |> Enum.flat_map(fn o -> ids(o) end) |> length())) ==
             [2, 2, 2, 1, 3, 2]

    assert [~c"one", [5, 6, 7], [8, 9], ~c"four", ~c"five", ~c"six"] ==
             Enum.map(answers, &hd(&1).prompt_token_ids)

    assert_received {:closed, _}
  end

  test "an element is made when the engine asks for it, not earlier", %{engine: engine} do
    stream = generate(engine, gated(["a", "b"]))
    assert_receive {:at_gate, producer, "a"}
    send(producer, :go)
    # The engine has answered "a" and wants "b".
    assert_receive {:at_gate, ^producer, "b"}
    send(producer, :go)
    assert stream |> Enum.flat_map(&ids/1) |> length() == 4
  end

  # vLLM: tests/v1/e2e/general/test_streaming_input.py::test_streaming_input_cancel_output_stream
  test "halting the outputs halts the enumeration", %{engine: engine} do
    stream = generate(engine, tracked(["a", "b", "c"]) |> Elixir.Stream.cycle(), endless_answer())
    assert [%RequestOutput{}] = Enum.take(stream, 1)
    assert_receive {:closed, _}
    assert control(engine, "wait_requests", [0]) == nil
  end

  test "cancelling while the engine waits for an element halts the enumeration", %{engine: engine} do
    stream = generate(engine, tracked(["a"]) |> Elixir.Stream.concat(gated(["b"])))
    assert_receive {:at_gate, producer, "b"}
    monitor = Process.monitor(producer)
    Stream.cancel(stream)
    # The process is in the middle of an element when it is told to stop.
    send(producer, :go)
    assert_receive {:DOWN, ^monitor, :process, _, :normal}
    assert control(engine, "wait_requests", [0]) == nil
  end

  # vLLM: tests/v1/e2e/general/test_streaming_input.py::test_streaming_input_error_propagation
  test "an exception in the enumerable is the stream's error, and the engine goes on", context do
    elements =
      tracked(["a"]) |> Elixir.Stream.concat(Elixir.Stream.map([1], fn _ -> raise "boom" end))

    stream = generate(context.engine, elements)
    assert {:error, %Error{kind: :invalid} = error} = Vllm.Stream.collect(stream)
    assert error.message == "the prompt's enumerable raised ** (RuntimeError) boom"
    assert error.traceback =~ "streaming_input_test.exs"
    assert error.cause == nil
    assert_well(context.engine)
  end

  test "the items before an error come first", %{engine: engine} do
    elements =
      Elixir.Stream.map(["a", :bad], fn element ->
        if element == :bad, do: throw(:it), else: element
      end)

    test = self()

    assert_raise Error, ~r/threw \*\* \(throw\) :it/, fn ->
      engine |> generate(elements) |> Enum.each(&send(test, {:ids, ids(&1)}))
    end

    assert_received {:ids, [256]}
    assert_received {:ids, [257]}
  end

  for {what, element, message} <- [
        {"a wrong type", %{"prompt_token_ids" => ["a"]},
         "prompt[1].prompt_token_ids[0]: wants int, got str 'a'"},
        {"another thing", 1.5, "prompt[1]: wants"},
        {"wrong parameters", %StreamingInput{prompt: "x", sampling_params: %{max_tokens: 1.5}},
         "prompt[1].sampling_params.max_tokens: wants"},
        {"an unknown field", [prompt: "x", sampling_params: nil, seed: 1],
         "prompt[1]: StreamingInput has no field 'seed'"},
        {"no prompt", %StreamingInput{}, "prompt[1].prompt: wants"},
        {"another struct", %SamplingParams{}, "prompt[1]: wants"},
        {"what the engine refuses", "", "The decoder prompt cannot be empty"}
      ] do
    @element element
    @message message

    test "an element that is #{what} is refused with its index", %{engine: engine} do
      stream = generate(engine, tracked(["a", @element, "c"]))
      assert {:error, %Error{kind: :invalid} = error} = Vllm.Stream.collect(stream)
      assert String.starts_with?(error.message, @message)
      assert_receive {:closed, _}
      refute_received {:made, "c"}
      assert_well(engine)
    end
  end

  for {what, params} <- [n: [n: 2], stop: [stop: ["x"]], kind: [output_kind: :FINAL_ONLY]] do
    test "the call refuses what vLLM does not allow with a stream: #{what}", %{engine: engine} do
      assert {:error, %Error{kind: :invalid, message: message}} =
               AsyncLLM.generate(engine, tracked(["a"]), unquote(params), request_id())

      assert message =~ "Input streaming not currently supported"
      refute_received {:opened, _}
    end
  end

  test "an empty enumerable is an empty stream", %{engine: engine} do
    assert engine |> generate(tracked([])) |> Enum.to_list() == []
    assert_received {:closed, _}
  end

  test "a stream for a parameter that takes none is an error with the right type", %{
    engine: engine
  } do
    assert {:error, %Error{kind: :invalid, message: message}} =
             AsyncLLM.generate(engine, "a", tracked([]), request_id())

    assert message =~ "sampling_params: wants SamplingParams"
    assert {:error, %Error{kind: :invalid}} = Vllm.call(engine, "encode", [1..2, [], "r"])
    # One that takes anything as well.
    assert {:error, %Error{kind: :invalid}} = Vllm.call(engine, "echo", [1..2])
  end

  test "stream_to: sends the items as messages", %{engine: engine} do
    {:ok, stream} =
      AsyncLLM.generate(engine, tracked(["a", "b"]), @params, request_id(),
        rpc: [stream_to: self()]
      )

    for _ <- 1..4, do: assert_receive({:vllm, ^stream, {:item, %RequestOutput{}}})
    assert_receive {:vllm, ^stream, :done}
  end

  test "a deadline ends the request and the enumeration", %{engine: engine} do
    {stream, producer} = with_deadline(engine, 100)
    monitor = Process.monitor(producer)
    assert {:error, %Error{kind: :timeout}} = Vllm.Stream.collect(stream)
    send(producer, :go)
    assert_receive {:DOWN, ^monitor, :process, _, :normal}
  end

  test "the end of the consumer ends the enumeration and the request", %{engine: engine} do
    test = self()

    consumer =
      spawn(fn ->
        elements = Vllm.Elements.tracked(["a"], test) |> Elixir.Stream.cycle()
        engine |> generate(elements) |> Enum.each(fn _ -> send(test, :item) end)
      end)

    assert_receive :item
    Process.exit(consumer, :kill)
    assert_receive {:closed, _}
    assert control(engine, "wait_requests", [0]) == nil
  end

  test "sixteen at the same time do not mix", %{engine: engine} do
    answers =
      1..16
      |> Enum.map(fn n ->
        Task.async(fn ->
          elements = Elixir.Stream.map(1..5, &[n, &1])
          engine |> generate(elements) |> Enum.map(& &1.prompt_token_ids) |> Enum.dedup()
        end)
      end)
      |> Task.await_many(:infinity)

    assert answers == for(n <- 1..16, do: for(i <- 1..5, do: [n, i]))
  end

  test "at most one large element is in flight", %{engine: engine} do
    # 64 of them would be 64 MB.
    text = String.duplicate("x", 1_000_000)
    elements = Elixir.Stream.map(1..64, fn _ -> text end)
    params = [max_tokens: 1, output_kind: :DELTA]
    assert engine |> generate(elements, params) |> Enum.count() == 64
  end

  defmodule WorkerKilled do
    use Vllm.BridgeCase, async: true

    test "the end of the worker ends the enumeration", %{engine: engine, instance: instance} do
      {:ok, stream} =
        AsyncLLM.generate(
          engine,
          tracked(["a"]) |> Elixir.Stream.concat(gated(["b"])),
          [max_tokens: 1],
          request_id()
        )

      assert_receive {:at_gate, producer, "b"}
      monitor = Process.monitor(producer)
      {:ok, %{"pid" => pid}} = Vllm.status(instance)

      ExUnit.CaptureLog.capture_log(fn ->
        kill(pid)
        assert {:error, %Error{kind: :worker_down}} = Vllm.Stream.collect(stream)
        send(producer, :go)
        assert_receive {:DOWN, ^monitor, :process, _, :normal}
      end)
    end
  end

  defp generate(engine, elements, params \\ @params) do
    {:ok, stream} = AsyncLLM.generate(engine, elements, params, request_id())
    stream
  end

  # A stream with a deadline, and who enumerates its prompt and waits at the first element. On a busy
  # machine the deadline may pass before that; then it is tried again, with more time.
  defp with_deadline(engine, timeout) do
    element = "within #{timeout} ms"
    rpc = [timeout: timeout]

    with {:ok, stream} <-
           AsyncLLM.generate(engine, gated([element]), @params, request_id(), rpc: rpc),
         producer when is_pid(producer) <- at_gate(element, timeout) do
      {stream, producer}
    else
      _too_late -> with_deadline(engine, 2 * timeout)
    end
  end

  defp at_gate(element, timeout) do
    receive do
      {:at_gate, producer, ^element} -> producer
    after
      timeout -> nil
    end
  end

  defp endless_answer, do: [max_tokens: 1_000_000, output_kind: :DELTA]

  defp assert_well(engine) do
    assert control(engine, "wait_requests", [0]) == nil
    {:ok, stream} = AsyncLLM.generate(engine, "well?", @params, request_id())
    assert {:ok, %RequestOutput{finished: true}} = Vllm.Stream.collect(stream)
  end

  defp ids(output), do: Enum.flat_map(output.outputs, & &1.token_ids)
end
