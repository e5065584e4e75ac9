defmodule Vllm.RealEngine.InterruptedTest do
  # Control calls beside many requests, in states where they make no sense, and cut off in the
  # middle: no text changes, and nothing leaves the engine refusing for ever.
  use Vllm.VllmEngine, engine: :scripted

  import Vllm.Followed

  @streams 32

  setup %{engine: engine} do
    on_exit(fn ->
      {:ok, true} = AsyncLLM.wake_up(engine)
      {:ok, nil} = AsyncLLM.resume_generation(engine)
      assert_well(engine)
    end)
  end

  @interruptions [
    pause: [pause_generation: [mode: "keep"], resume_generation: []],
    pause_without_clearing: [
      pause_generation: [mode: "keep", clear_cache: false],
      resume_generation: []
    ],
    light_sleep: [sleep: [level: 0, mode: "keep"], wake_up: [tags: ["scheduling"]]],
    sleep: [sleep: [level: 1, mode: "keep"], wake_up: []],
    sleep_in_parts: [
      sleep: [level: 2, mode: "keep"],
      wake_up: [tags: ["weights"]],
      wake_up: [tags: ["kv_cache"]]
    ],
    prefix_cache: [reset_prefix_cache: [reset_running_requests: true]],
    prefix_cache_if_idle: [reset_prefix_cache: []],
    mm_cache: [reset_mm_cache: []],
    encoder_cache: [reset_encoder_cache: []]
  ]

  describe "#{@streams} streams" do
    test "have the same text whatever interrupts them", %{engine: engine} do
      streams = frozen(engine, prompts(), 120)

      # First with every request begun and none finished, then while they run to their ends.
      interrupt(engine)
      assert AsyncLLM.resume_generation(engine) == {:ok, nil}
      interrupt(engine)
      for {tag, begun} <- streams, do: assert(said(begun ++ rest(tag)) == counting(120))
      assert unfinished(engine) == 0
    end

    for {mode, reason} <- [{"wait", "length"}, {"abort", "abort"}], stop <- [:pause, :sleep] do
      test "end with #{stop} in mode #{mode}", %{engine: engine} do
        streams = frozen(engine, prompts(), 120)
        assert unquote(stop)(engine, unquote(mode)) == {:ok, nil}
        assert unfinished(engine) == 0

        for {tag, begun} <- streams do
          items = begun ++ rest(tag)
          assert finish_reason(items) == unquote(reason)
          assert said(items) == counting(length(tokens(items)))
        end
      end
    end

    test "are not affected by refused calls", %{engine: engine} do
      streams = frozen(engine, prompts(), 60)

      for {function, opts, wrong} <- [
            {:pause_generation, [mode: "stop"], "mode"},
            {:pause_generation, [mode: nil], "mode"},
            {:pause_generation, [clear_cache: "yes"], "clear_cache"},
            {:pause_generation, [wait_for_inflight_requests: true, mode: "wait"], "mode"},
            {:sleep, [level: "2"], "level"},
            {:sleep, [level: 1.0], "level"},
            {:sleep, [mode: "deep"], "mode"},
            {:wake_up, [tags: "weights"], "tags"},
            {:wake_up, [tags: [1]], "tags"},
            {:reset_prefix_cache, [reset_running_requests: 1], "reset_running_requests"}
          ] do
        assert {:error, %Error{kind: :invalid} = error} =
                 apply(AsyncLLM, function, [engine, opts])

        assert error.message =~ wrong
      end

      assert AsyncLLM.is_paused(engine) == {:ok, true}
      assert AsyncLLM.resume_generation(engine) == {:ok, nil}

      # What the cache holds can be released in a pause alone, and not on a CPU.
      assert {:error, %Error{} = error} = AsyncLLM.release_kv_cache_memory(engine)
      assert error.message =~ "requires a completed pause first"
      for {tag, begun} <- streams, do: assert(said(begun ++ rest(tag)) == counting(60))
    end
  end

  describe "a call that waits for requests and is cut off" do
    for stop <- [:pause, :sleep] do
      test "by its deadline leaves the engine to be resumed: #{stop}", %{engine: engine} do
        stream = stopped_while_running(engine, unquote(stop))
        assert_comes_back(engine, stream)
      end

      test "by its caller's death leaves the engine to be resumed: #{stop}", %{engine: engine} do
        [{tag, begun}] = frozen(engine, ["count"], 1500)
        caller = spawn(fn -> unquote(stop)(engine, "wait") end)
        # Requests that come are held back, so the call has reached the engine.
        wait_until(fn -> AsyncLLM.is_paused(engine) == {:ok, true} end)
        Process.exit(caller, :kill)
        assert_comes_back(engine, {tag, begun})
      end
    end
  end

  test "old parameters are accepted, and refused together with the new ones", %{engine: engine} do
    for wait <- [true, false] do
      opts = [wait_for_inflight_requests: wait]
      [{tag, begun}] = frozen(engine, ["count"], 300)
      assert AsyncLLM.pause_generation(engine, opts) == {:ok, nil}
      assert finish_reason(begun ++ rest(tag)) == if(wait, do: "length", else: "abort")
      assert AsyncLLM.resume_generation(engine) == {:ok, nil}
    end

    assert {:error, %Error{kind: :invalid} = error} =
             AsyncLLM.pause_generation(engine, wait_for_inflight_requests: "yes")

    assert error.message =~ "wait_for_inflight_requests"
  end

  defp pause(engine, mode), do: AsyncLLM.pause_generation(engine, mode: mode)
  defp sleep(engine, mode), do: AsyncLLM.sleep(engine, level: 1, mode: mode)

  defp prompts, do: for(n <- 1..@streams, do: "stream #{n}: count")

  defp interrupt(engine) do
    for {_name, calls} <- @interruptions, {function, opts} <- calls do
      assert {:ok, result} = apply(AsyncLLM, function, [engine, opts])
      assert result in [nil, true, false]
    end
  end

  # The request takes seconds. On a machine that stops for as long the call may not have reached
  # the engine, which is paused then as it was before; or the request was over by then, and another
  # follows.
  defp stopped_while_running(engine, stop) do
    [{tag, begun}] = frozen(engine, ["count"], 1500)

    result =
      case stop do
        :pause -> AsyncLLM.pause_generation(engine, mode: "wait", rpc: [timeout: 300])
        :sleep -> AsyncLLM.sleep(engine, mode: "wait", rpc: [timeout: 300])
      end

    case result do
      {:error, error} ->
        assert error.kind == :timeout
        {tag, begun}

      {:ok, nil} ->
        rest(tag)
        {:ok, true} = AsyncLLM.wake_up(engine)
        {:ok, nil} = AsyncLLM.resume_generation(engine)
        stopped_while_running(engine, stop)
    end
  end

  # No request is lost, and the ways out of a pause and of sleep work.
  defp assert_comes_back(engine, {tag, begun}) do
    assert AsyncLLM.is_paused(engine) == {:ok, true}
    waiting = follow(engine, "count", 5)
    assert AsyncLLM.resume_generation(engine) == {:ok, nil}
    assert said(begun ++ rest(tag)) == counting(1500)
    assert said(rest(waiting)) == counting(5)
    wait_until(fn -> unfinished(engine) == 0 end)

    # What the call had left to do once the engine was idle is done by now, and can be undone.
    assert_well(engine)
    assert AsyncLLM.wake_up(engine) == {:ok, true}
    assert AsyncLLM.is_sleeping(engine) == {:ok, false}
    assert AsyncLLM.is_paused(engine) == {:ok, false}
  end
end
