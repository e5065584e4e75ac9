defmodule Vllm.RealEngine.ControlTest do
  # Pausing, sleeping and emptying caches while requests run. The model counts, so a token that is
  # lost, repeated or computed from a wrong cache is seen in the text.
  use Vllm.VllmEngine, engine: :scripted

  import Vllm.Followed

  @modes ["abort", "wait", "keep"]

  setup %{engine: engine} do
    on_exit(fn ->
      {:ok, true} = AsyncLLM.wake_up(engine)
      {:ok, nil} = AsyncLLM.resume_generation(engine)
      assert_well(engine)
    end)
  end

  describe "pause_generation and resume_generation" do
    # tests/v1/engine/test_async_llm.py::test_pause_resume_basic
    test "can be called in any state, and at once", %{engine: engine} do
      assert AsyncLLM.is_paused(engine) == {:ok, false}
      assert AsyncLLM.resume_generation(engine) == {:ok, nil}
      assert AsyncLLM.is_paused(engine) == {:ok, false}

      for mode <- @modes, clear_cache <- [true, false] do
        for _twice <- 1..2 do
          opts = [mode: mode, clear_cache: clear_cache]
          assert AsyncLLM.pause_generation(engine, opts) == {:ok, nil}
          assert AsyncLLM.is_paused(engine) == {:ok, true}
        end

        assert AsyncLLM.resume_generation(engine) == {:ok, nil}
        assert AsyncLLM.is_paused(engine) == {:ok, false}
      end

      for call <- [&AsyncLLM.pause_generation/1, &AsyncLLM.resume_generation/1] do
        calls = for _ <- 1..4, do: Task.async(fn -> call.(engine) end)
        assert Task.await_many(calls, :infinity) == List.duplicate({:ok, nil}, 4)
      end

      assert_well(engine)
    end

    # test_async_llm.py::test_pause_abort
    test "abort ends running requests; later ones wait", %{engine: engine} do
      [{running, begun}] = frozen(engine, ["count"], 2000)
      assert AsyncLLM.pause_generation(engine, mode: "abort") == {:ok, nil}
      items = begun ++ rest(running)
      assert finish_reason(items) == "abort"
      assert said(items) == counting(length(tokens(items)))

      waiting = follow(engine, "count", 20)
      assert_nothing_made(engine, [waiting])
      assert unfinished(engine) == 1
      assert AsyncLLM.resume_generation(engine) == {:ok, nil}
      assert said(rest(waiting)) == counting(20)
    end

    # test_async_llm.py::test_pause_then_abort_queued_request
    test "a request that was added while paused can be aborted", %{engine: engine} do
      assert AsyncLLM.pause_generation(engine, mode: "keep") == {:ok, nil}
      id = request_id()
      {:ok, stream} = AsyncLLM.generate(engine, "count", endless(), id)
      assert AsyncLLM.abort(engine, id) == {:ok, nil}
      assert AsyncLLM.resume_generation(engine) == {:ok, nil}
      items = Enum.to_list(stream)
      assert {finish_reason(items), tokens(items)} == {"abort", []}
    end

    # test_async_llm.py::test_pause_keep_single_request and ::test_pause_keep_multi_request
    for requests <- [1, 3], clear_cache <- [true, false] do
      test "keep stops #{requests} where they are, clear_cache: #{clear_cache}", context do
        engine = context.engine
        prompts = for n <- 1..unquote(requests), do: "#{n}: count"
        streams = frozen(engine, prompts, 1000)
        opts = [mode: "keep", clear_cache: unquote(clear_cache)]
        assert AsyncLLM.pause_generation(engine, opts) == {:ok, nil}
        assert_nothing_made(engine, Enum.map(streams, &elem(&1, 0)))
        assert unfinished(engine) == unquote(requests)

        assert AsyncLLM.resume_generation(engine) == {:ok, nil}

        for {tag, begun} <- streams do
          items = begun ++ rest(tag)
          assert said(items) == counting(1000)
          assert finish_reason(items) == "length"
        end
      end
    end

    test "wait returns after running requests have ended; later ones wait", context do
      engine = context.engine
      [{running, begun}] = frozen(engine, ["count"], 500)
      assert AsyncLLM.pause_generation(engine, mode: "wait") == {:ok, nil}
      assert AsyncLLM.is_paused(engine) == {:ok, true}
      waiting = follow(engine, "count", 20)
      assert said(begun ++ rest(running)) == counting(500)
      assert_nothing_made(engine, [waiting])
      assert unfinished(engine) == 1
      assert AsyncLLM.resume_generation(engine) == {:ok, nil}
      assert said(rest(waiting)) == counting(20)
    end
  end

  describe "sleep and wake_up" do
    # tests/entrypoints/serve/instrumentator/test_sleep.py::test_sleep_mode
    test "go through their states, at every level and in every mode", %{engine: engine} do
      for level <- [0, 1, 2], mode <- @modes do
        assert AsyncLLM.is_sleeping(engine) == {:ok, false}
        assert AsyncLLM.sleep(engine, level: level, mode: mode) == {:ok, nil}
        assert AsyncLLM.is_sleeping(engine) == {:ok, true}
        assert AsyncLLM.is_paused(engine) == {:ok, true}
        waiting = follow(engine, "count", 5)
        assert AsyncLLM.wake_up(engine) == {:ok, true}
        assert AsyncLLM.is_paused(engine) == {:ok, false}
        assert said(rest(waiting)) == counting(5)
      end
    end

    @tag :since_vllm_0_32
    test "a sleeping engine is awake when all its parts are awake", %{engine: engine} do
      assert AsyncLLM.sleep(engine, [2]) == {:ok, nil}
      waiting = follow(engine, "count", 5)

      for tags <- [["no such part"], ["weights"], ["weights"]] do
        assert AsyncLLM.wake_up(engine, [tags]) == {:ok, false}
        assert AsyncLLM.is_sleeping(engine) == {:ok, true}
        assert AsyncLLM.is_paused(engine) == {:ok, true}
      end

      # Requests may go on, and what is asleep stays so.
      assert AsyncLLM.resume_generation(engine) == {:ok, nil}
      assert AsyncLLM.is_paused(engine) == {:ok, false}
      assert AsyncLLM.is_sleeping(engine) == {:ok, true}
      assert said(rest(waiting)) == counting(5)

      assert AsyncLLM.wake_up(engine, tags: ["kv_cache"]) == {:ok, true}
      assert AsyncLLM.is_sleeping(engine) == {:ok, false}

      # Of an engine that is awake nothing is left to wake.
      assert AsyncLLM.wake_up(engine, tags: ["scheduling"]) == {:ok, true}
    end

    # tests/basic_correctness/test_cumem.py::test_end_to_end
    test "the output is the same before and after", %{engine: engine} do
      before = complete(engine, "count", temperature: 0.0, max_tokens: 100, logprobs: 1)

      for level <- [1, 2] do
        assert AsyncLLM.sleep(engine, level: level) == {:ok, nil}
        assert AsyncLLM.wake_up(engine) == {:ok, true}
        later = complete(engine, "count", temperature: 0.0, max_tokens: 100, logprobs: 1)
        assert later.outputs == before.outputs
      end

      assert {:error, %Error{kind: :invalid} = error} = build(:scripted, enable_sleep_mode: true)
      assert error.message =~ "Sleep mode is not supported"
    end

    # test_cumem.py::test_deep_sleep_async
    @tag :since_vllm_0_32
    test "weights are reloaded while the rest is asleep", %{engine: engine} do
      {:ok, [checksums]} = AsyncLLM.compute_weight_checksums(engine)
      assert AsyncLLM.sleep(engine, level: 2) == {:ok, nil}
      assert AsyncLLM.wake_up(engine, tags: ["weights"]) == {:ok, false}
      kwargs = %{"weights_path" => model(:scripted)}

      assert AsyncLLM.collective_rpc(engine, "reload_weights", [], kwargs: kwargs) ==
               {:ok, [nil]}

      assert AsyncLLM.wake_up(engine, tags: ["kv_cache"]) == {:ok, true}
      assert AsyncLLM.is_sleeping(engine) == {:ok, false}
      assert AsyncLLM.compute_weight_checksums(engine) == {:ok, [checksums]}
      assert text(complete(engine, "Hello", temperature: 0.0)) == hello()
    end
  end

  describe "reset_prefix_cache" do
    # tests/v1/core/test_reset_prefix_cache_e2e.py::test_reset_prefix_cache_e2e
    test "during requests does not change their outputs", %{engine: engine} do
      prompts = for n <- 1..4, do: String.duplicate("more words ", 10 * n) <> "count"
      streams = frozen(engine, prompts, 1000)
      tags = for({tag, _begun} <- streams, do: tag)

      begun =
        Enum.reduce(1..3, Map.new(streams), fn _n, begun ->
          reset = [reset_running_requests: true]
          assert AsyncLLM.reset_prefix_cache(engine, reset) == {:ok, true}
          halfway(engine, tags, begun)
        end)

      assert AsyncLLM.resume_generation(engine) == {:ok, nil}
      for tag <- tags, do: assert(said(begun[tag] ++ rest(tag)) == counting(1000))
    end

    test "is false while requests run, and makes the next prompt a cache miss", %{engine: engine} do
      # 256 tokens in blocks of 128; the last block of a prompt is never taken from the cache.
      prompt = String.duplicate("sixteen letters,", 16) <> "Hello"
      cached = fn -> complete(engine, prompt, temperature: 0.0).num_cached_tokens end

      assert AsyncLLM.reset_prefix_cache(engine) == {:ok, true}
      assert cached.() == 0
      assert cached.() == 256
      assert cached.() == 256

      [{running, begun}] = frozen(engine, ["count"], 1000)
      assert AsyncLLM.reset_prefix_cache(engine) == {:ok, false}
      assert AsyncLLM.resume_generation(engine) == {:ok, nil}
      assert said(begun ++ rest(running)) == counting(1000)
      assert cached.() == 256

      assert AsyncLLM.reset_prefix_cache(engine, [], reset_connector: true) == {:ok, true}
      assert cached.() == 0
    end
  end
end
