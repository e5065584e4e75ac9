defmodule Vllm.Bridge.TestKitTest do
  use ExUnit.Case, async: true

  alias Vllm.{AsyncLLM, Error, RequestOutput, SamplingParams, Stream, Tensor}
  alias Vllm.Test.Request

  @moduletag :bridge

  setup_all context, do: %{worker: Vllm.Test.start_worker!(context)}
  setup %{worker: worker}, do: %{engine: Vllm.Test.engine!(worker)}

  describe "reply/4" do
    test "says what the answer is, an item for each token", %{engine: engine} do
      :ok = Vllm.Test.reply(engine, "Hello", [" wor", "ld"])
      assert texts(engine, "Hello") == [" wor", "ld"]
      assert {:ok, output} = collect(engine, "Hello")
      assert [%{text: " world", finish_reason: "stop", stop_reason: nil}] = output.outputs
    end

    test "cuts a text into words", %{engine: engine} do
      Vllm.Test.reply(engine, "Hello", "It rains,  again.\n")
      assert texts(engine, "Hello") == ["It", " rains,", "  again.", "\n"]
    end

    test "goes from the prompt to patterns to :any", %{engine: engine} do
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

    test "is cut by max_tokens, and its reasons can be given", %{engine: engine} do
      Vllm.Test.reply(engine, "a", "one two three")
      assert {:ok, %{outputs: [cut]}} = collect(engine, "a", max_tokens: 2)
      assert %{text: "one two", finish_reason: "length"} = cut
      Vllm.Test.reply(engine, "b", "one", finish_reason: "stop", stop_reason: "###")
      assert {:ok, %{outputs: [stopped]}} = collect(engine, "b", max_tokens: 1)
      assert %{finish_reason: "stop", stop_reason: "###"} = stopped
    end

    test "gives log probabilities to those who ask", %{engine: engine} do
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

    test "with delay: takes its time, with merge: may join tokens", %{engine: engine} do
      Vllm.Test.reply(engine, "a", ["x", "y", "z"], delay: 20)
      {microseconds, texts} = :timer.tc(fn -> texts(engine, "a") end)
      assert texts == ["x", "y", "z"]
      # The first may come at any moment of the clock's grid, the others a step later each.
      assert microseconds > 40_000
      Vllm.Test.reply(engine, "a", ["x", "y", "z"], merge: true)
      assert Enum.join(texts(engine, "a")) == "xyz"
    end

    test "with then: ends in another way", %{engine: engine} do
      Vllm.Test.reply(engine, "fail", ["x"], then: {:fail, {:engine_error, "out of memory"}})
      assert {["x"], %Error{kind: :engine_error, message: message}} = until_error(engine, "fail")
      assert message =~ "out of memory"

      Vllm.Test.reply(engine, "hang", ["x"], then: :hang)
      {:ok, stream} = AsyncLLM.generate(engine, "hang", [], "r", rpc: [timeout: 2_000])
      assert {:error, %Error{kind: :timeout}} = Stream.collect(stream)
      :ok = Vllm.Test.assert_aborted(engine, "r")

      Vllm.Test.reply(engine, "die", ["x"], then: :die)
      assert {["x"], %Error{kind: :engine_dead}} = until_error(engine, "die")
      assert AsyncLLM.errored(engine) == {:ok, true}
    end

    test "refuses what has no meaning", %{engine: engine} do
      reply = &Vllm.Test.reply(engine, &1, ["x"], &2)
      assert_raise ArgumentError, ~r/:tihs/, fn -> reply.("a", tihs: 1) end
      assert_raise ArgumentError, ~r/:hold cannot go/, fn -> reply.("a", hold: 1, then: :die) end
      assert_raise ArgumentError, ~r/:then is/, fn -> reply.("a", then: :explode) end
      assert_raise ArgumentError, ~r/a prompt is/, fn -> reply.(:all, []) end
      assert_raise ArgumentError, ~r/which has no/, fn -> reply.(~r/a/U, []) end
      assert_raise Error, ~r/times is at least 1/, fn -> reply.("a", times: 0) end

      assert_raise ArgumentError, ~r/crash_worker/, fn ->
        Vllm.Test.fail(engine, :sleep, :worker_down)
      end
    end
  end

  test "embed/4 says what encode gives", %{worker: worker} do
    engine = Vllm.Test.engine!(worker, runner: "pooling")
    Vllm.Test.embed(engine, "cat", [0.5, -1.0, 0.25])
    Vllm.Test.embed(engine, ~r/./, [[1, 2], [3, 4]])
    assert embedding(engine, "cat") == [0.5, -1.0, 0.25]
    assert embedding(engine, "dogs") == [[1.0, 2.0], [3.0, 4.0]]
    assert [_, %Request{method: :encode, prompt: "dogs"}] = Vllm.Test.requests(engine)
    assert %Request{prompt: "cat"} = Vllm.Test.assert_generated(engine, method: :encode)
  end

  describe "a fault of requests" do
    test "slow/3", %{engine: engine} do
      Vllm.Test.slow(engine, 20)
      {microseconds, texts} = :timer.tc(fn -> texts(engine, "a", max_tokens: 3) end)
      assert texts == [" 256", " 257", " 258"]
      assert microseconds > 40_000
    end

    # What a request fails with, vLLM wraps, unless it is the client's fault or the engine's end.
    for kind <- Vllm.Test.Script.kinds() do
      @arrives if kind in [:unsupported, :timeout, :python], do: :engine_error, else: kind

      test "fail_after/4 as #{inspect(kind)}", %{engine: engine} do
        Vllm.Test.fail_after(engine, 2, unquote(kind), times: 1)

        assert {[" 256", " 257"], %Error{kind: @arrives} = error} =
                 until_error(engine, "a", max_tokens: 2)

        assert error.kind == unquote(kind) or error.cause.kind == unquote(kind)
        assert [" 256"] = texts(engine, "a", max_tokens: 1)
      end

      test "refuse/3 as #{inspect(kind)}", %{engine: engine} do
        Vllm.Test.refuse(engine, unquote(kind), prompt: "a")
        assert {:error, %Error{kind: @arrives} = error} = generate(engine, "a")
        assert error.kind == unquote(kind) or error.cause.kind == unquote(kind)
        assert [" 256"] = texts(engine, "b", max_tokens: 1)
      end
    end

    test "refuse_admission/2, until it is over", %{engine: engine} do
      Vllm.Test.refuse_admission(engine, times: 2)

      for _ <- 1..2 do
        assert {:error, %Error{kind: :overloaded, retryable: true}} = generate(engine, "a")
      end

      assert {:ok, _stream} = generate(engine, "a")
    end

    test "hang_after/3", %{engine: engine} do
      Vllm.Test.hang_after(engine, 1)
      {:ok, stream} = generate(engine, "a")
      assert [%RequestOutput{finished: false}] = Enum.take(stream, 1)
      assert :ok = Vllm.Test.assert_live(engine, 0)
    end

    test "die_after/3", %{engine: engine} do
      Vllm.Test.hang_after(engine, 0)
      Vllm.Test.die_after(engine, 1, prompt: "poison")
      {:ok, other} = generate(engine, "a")
      assert {[" 256"], %Error{kind: :engine_dead}} = until_error(engine, "poison")
      assert {:error, %Error{kind: :engine_dead}} = Stream.collect(other)
      # What reached it can still be asked.
      assert [_, %Request{prompt: "poison"}] = Vllm.Test.requests(engine)
    end
  end

  describe "a fault of a method" do
    for kind <- Vllm.Test.Script.kinds() do
      test "fail/4 as #{inspect(kind)}", %{engine: engine} do
        Vllm.Test.fail(engine, :is_sleeping, {unquote(kind), "why not"}, times: 1)
        assert {:error, %Error{kind: unquote(kind)} = error} = Vllm.call(engine, :is_sleeping)
        unless error.kind == :engine_dead, do: assert(error.message =~ "why not")
        assert Vllm.call(engine, :is_sleeping) == {:ok, false}
      end
    end

    test "fail/4 with the name of a Python exception", %{engine: engine} do
      Vllm.Test.fail(engine, "sleep", {"KeyError", "lost"})
      assert {:error, %Error{kind: :python} = error} = Vllm.call(engine, :sleep)
      assert error.type =~ "KeyError"
      assert {:error, _again} = Vllm.call(engine, :sleep)
      Vllm.Test.mend(engine, "sleep")
      assert {:ok, nil} = Vllm.call(engine, :sleep)
    end

    test "hang/3 of generate: the call does not return", %{engine: engine} do
      Vllm.Test.hang(engine, :generate, times: 1)
      options = [rpc: [timeout: 1_000]]
      assert {:error, %Error{kind: :timeout}} = AsyncLLM.generate(engine, "a", [], "r", options)
      assert [_hung] = Vllm.Test.requests(engine)
      assert {:ok, _stream} = generate(engine, "a")
    end

    test "hang/3 and delay/4", %{engine: engine} do
      Vllm.Test.hang(engine, :sleep, times: 1)
      assert {:error, %Error{kind: :timeout}} = Vllm.call(engine, :sleep, rpc: [timeout: 50])
      Vllm.Test.delay(engine, :sleep, 30)
      {microseconds, {:ok, nil}} = :timer.tc(fn -> Vllm.call(engine, :sleep) end)
      assert microseconds > 30_000
    end
  end

  test "die/1 ends the engine and not the worker", %{engine: engine, worker: worker} do
    Vllm.Test.hang_after(engine, 0)
    {:ok, stream} = generate(engine, "a")
    :ok = Vllm.Test.die(engine)
    assert {:error, %Error{kind: :engine_dead}} = Stream.collect(stream)
    assert {:error, %Error{kind: :engine_dead}} = AsyncLLM.check_health(engine)
    assert AsyncLLM.check_health(Vllm.Test.engine!(worker)) == {:ok, nil}
  end

  test "print_megabytes/2 disturbs nobody", %{engine: engine} do
    printing = Task.async(fn -> Vllm.Test.print_megabytes(engine, 20) end)
    assert texts(engine, "a", max_tokens: 2) == [" 256", " 257"]
    assert Task.await(printing, 20_000) == :ok
    assert AsyncLLM.check_health(engine) == {:ok, nil}
  end

  test "takes whatever vLLM takes", %{worker: worker} do
    engine = Vllm.Test.engine!(worker, kv_cache_dtype: "fp8", data_parallel_rank: 1)
    assert texts(engine, "a", max_tokens: 1, thinking_token_budget: 7) == [" 256"]
    assert [%Request{params: params}] = Vllm.Test.requests(engine)

    assert params == %SamplingParams{
             max_tokens: 1,
             thinking_token_budget: 7,
             output_kind: :DELTA
           }

    assert {:error, %Error{kind: :invalid}} =
             AsyncLLM.from_engine_args(worker, model: "m", kv_cahce_dtype: "fp8")
  end

  describe "what reached the engine" do
    test "is told in structs, refused requests included", %{engine: engine} do
      Vllm.Test.refuse(engine, :invalid, prompt: "b")
      texts(engine, "a", max_tokens: 3, temperature: 0.5)
      lora = %Vllm.LoRARequest{lora_name: "sql", lora_int_id: 1, lora_path: "/a"}
      AsyncLLM.generate(engine, "b", [], "r2", lora_request: lora, priority: 7)

      assert [%Request{method: :generate, prompt: "a"} = first, %Request{} = second] =
               Vllm.Test.requests(engine)

      assert %SamplingParams{max_tokens: 3, temperature: 0.5} = first.params
      assert first.options == %{"priority" => 0}
      assert %{request_id: "r2", options: %{"priority" => 7, "lora_request" => ^lora}} = second
    end

    test "is every call of a method", %{engine: engine} do
      Vllm.call(engine, :sleep, level: 2)
      assert [{[2, _mode], %{}}] = Vllm.Test.calls(engine, :sleep)
      assert {[2, _mode], %{}} = Vllm.Test.assert_called(engine, :sleep)
      assert Vllm.Test.calls(engine, "wake_up") == []
    end

    test "is forgotten by reset/1", %{engine: engine} do
      Vllm.Test.reply(engine, :any, ["x"])
      texts(engine, "a")
      :ok = Vllm.Test.reset(engine)
      assert Vllm.Test.requests(engine) == []
      assert texts(engine, "a", max_tokens: 1) == [" 256"]
    end
  end

  describe "an assertion" do
    test "waits for what is still to come", %{engine: engine} do
      request = Task.async(fn -> Vllm.Test.assert_generated(engine, prompt: ~r/^B/) end)
      called = Task.async(fn -> Vllm.Test.assert_called(engine, :sleep, count: 2) end)
      aborted = Task.async(fn -> Vllm.Test.assert_aborted(engine, "r-b") end)
      Vllm.Test.hang_after(engine, 0)

      for id <- ["a", "b"] do
        {:ok, _stream} = AsyncLLM.generate(engine, String.upcase(id), [max_tokens: 7], "r-" <> id)
      end

      assert %Request{request_id: "r-b", params: %{max_tokens: 7}} = Task.await(request)
      AsyncLLM.abort(engine, "r-b")
      assert Task.await(aborted) == :ok
      for level <- [1, 2], do: Vllm.call(engine, :sleep, level: level)
      assert {[2, _mode], %{}} = Task.await(called)
    end

    test "says what there was instead", %{engine: engine} do
      flunks(~r/there was none at all/, fn ->
        Vllm.Test.assert_generated(engine, timeout: 20)
      end)

      texts(engine, "a", max_tokens: 3)

      flunks(~r/max_tokens: 4.*prompt: "a"/s, fn ->
        Vllm.Test.assert_generated(engine, params: [max_tokens: 4], timeout: 20)
      end)

      flunks(~r/"r" was not aborted; these were: \[\]/, fn ->
        Vllm.Test.assert_aborted(engine, "r", timeout: 20)
      end)

      flunks(~r/sleep was called 0 times, not 1/, fn ->
        Vllm.Test.assert_called(engine, :sleep, timeout: 20)
      end)

      flunks(~r/0 requests are in flight, not 1/, fn ->
        Vllm.Test.assert_live(engine, 1, timeout: 20)
      end)
    end
  end

  # The instances of the tests above are shared; these have their own.
  describe "a worker of one's own" do
    setup context, do: %{own: Vllm.Test.start_worker!(context, List.wrap(context[:options]))}

    test "is scripted for engines that there are and that come", %{own: own} do
      before = Vllm.Test.engine!(own)
      Vllm.Test.reply(own, "a", ["x"])
      Vllm.Test.fail(own, :sleep, {:conflict, "later"})

      for engine <- [before, Vllm.Test.engine!(own)] do
        assert texts(engine, "a") == ["x"]
        assert {:error, %Error{kind: :conflict}} = Vllm.call(engine, :sleep)
      end

      Vllm.Test.mend(own, :sleep)
      assert Vllm.call(before, :sleep) == {:ok, nil}
      assert [^before, _later] = Vllm.Test.engines(own)
    end

    test "has engines that do not start", %{own: own} do
      Vllm.Test.fail_start(own, {:invalid, "no such model"}, times: 1)

      assert {:error, %Error{kind: :invalid, message: message}} =
               AsyncLLM.from_engine_args(own, model: "x")

      assert message =~ "no such model"
      Vllm.Test.delay_start(own, 30)
      {microseconds, engine} = :timer.tc(fn -> Vllm.Test.engine!(own) end)
      assert microseconds > 30_000
      assert Vllm.Test.engines(own) == [engine]
    end

    @tag :capture_log
    @tag timeout: 120_000
    @tag options: [replies: [{"a", ["x"]}], engines: [main: [model: "m"]]]
    test "is crashed, and comes back with what it was started with", %{own: own} do
      engine = Vllm.Test.await_engine!(own)
      assert texts(engine, "a") == ["x"]
      Vllm.Test.hang_after(engine, 0, prompt: "b")
      {:ok, pending} = generate(engine, "b")
      :ok = Vllm.Test.crash_worker(own)
      assert {:error, %Error{kind: :worker_down}} = Stream.collect(pending)
      later = Vllm.Test.await_engine!(own)
      assert later.incarnation != engine.incarnation
      assert {:error, %Error{kind: :stale_ref}} = AsyncLLM.check_health(engine)
      assert texts(later, "a") == ["x"]
    end

    @tag :capture_log
    @tag options: [start_error: {:engine_error, "CUDA out of memory"}, start_delay: 1]
    test "never has an engine", %{own: own} do
      assert {:error, %Error{kind: :engine_error, message: message}} =
               AsyncLLM.from_engine_args(own, model: "x")

      assert message =~ "CUDA out of memory"
      flunks(~r/had no engine within 20 ms/, fn -> Vllm.Test.await_engine!(own, timeout: 20) end)
    end
  end

  describe "eight at a time see only their own" do
    test "as engines of one worker", %{worker: worker} do
      eight_times(fn n -> talk(Vllm.Test.engine!(worker), n) end)
    end

    @tag timeout: 120_000
    test "as workers" do
      eight_times(fn n ->
        name = Module.concat(__MODULE__, "Worker#{n}")
        {:ok, supervisor} = Vllm.Test.start_link(name: name)
        Vllm.Test.reply(name, "who", ["nobody"])
        talk(Vllm.Test.engine!(name), n)
        assert [_one] = Vllm.Test.engines(name)
        Supervisor.stop(supervisor)
      end)
    end

    defp eight_times(fun) do
      1..8 |> Enum.map(&Task.async(fn -> fun.(&1) end)) |> Task.await_many(100_000)
    end

    defp talk(engine, n) do
      Vllm.Test.reply(engine, "who", ["number #{n}"])
      for _ <- 1..20, do: assert(texts(engine, "who") == ["number #{n}"])
      assert length(Vllm.Test.requests(engine)) == 20
    end
  end

  defp generate(engine, prompt, params \\ []) do
    AsyncLLM.generate(engine, prompt, params, "r-#{System.unique_integer([:positive])}")
  end

  defp collect(engine, prompt, params \\ []) do
    {:ok, stream} = generate(engine, prompt, params)
    Stream.collect(stream)
  end

  defp texts(engine, prompt, params \\ []) do
    {:ok, stream} = generate(engine, prompt, params ++ [output_kind: :DELTA])
    for %{outputs: [completion]} <- stream, do: completion.text
  end

  defp until_error(engine, prompt, params \\ []) do
    params = params ++ [output_kind: :DELTA]
    {:ok, stream} = AsyncLLM.generate(engine, prompt, params, "r", rpc: [stream_to: self()])
    received(stream, [])
  end

  defp received(stream, texts) when is_struct(stream, Stream) do
    receive do
      {:vllm, ^stream, {:item, %{outputs: [%{text: text}]}}} ->
        received(stream, [text | texts])

      {:vllm, ^stream, {:error, error}} ->
        {Enum.reverse(texts), error}

      {:vllm, ^stream, :done} ->
        flunk("it ended well after #{inspect(Enum.reverse(texts))}")
    end
  end

  defp embedding(engine, prompt) do
    {:ok, stream} = AsyncLLM.encode(engine, prompt, [], "e")
    [%{outputs: %{data: tensor}}] = Enum.to_list(stream)
    Tensor.to_list(tensor)
  end

  defp flunks(pattern, fun), do: assert_raise(ExUnit.AssertionError, pattern, fun)
end
