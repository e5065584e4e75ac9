defmodule Vllm.RealEngine.ConstructionTest do
  # Engines of a test's own: built from a configuration, shut down, and killed while another one runs.
  use Vllm.VllmEngine, engine: :divided

  alias Vllm.AsyncEngineArgs

  # For an engine that is built in addition to others.
  @building 600_000

  describe "an engine from a configuration" do
    # tests/v1/shutdown/test_forward_error.py::test_async_llm_model_error
    @tag timeout: @building
    test "answers like any other, until its model fails", %{engine: other} do
      config = config!(:faulty, max_num_queued_reqs: nil)
      before = children()
      opts = [use_cached_outputs: true, log_requests: false]

      {{:ok, engine}, _log} =
        ExUnit.CaptureLog.with_log(fn ->
          AsyncLLM.new(instance(), config, :auto, true, [], opts)
        end)

      assert engine.type == "AsyncLLM"
      assert text(complete(engine, "Hello", temperature: 0.0)) == hello()
      assert AsyncLLM.collective_rpc(engine, "model_name") == {:ok, [model(:scripted)]}

      # Every request is in the engine when its model fails.
      assert AsyncLLM.pause_generation(engine, mode: "keep") == {:ok, nil}
      streams = for n <- 1..8, do: generate(engine, "#{n}: count", endless())
      assert AsyncLLM.collective_rpc(engine, "fail_forward") == {:ok, [nil]}
      assert AsyncLLM.resume_generation(engine) == {:ok, nil}
      for stream <- streams, do: assert({:error, %Error{kind: :engine_dead}} = last(stream))

      assert_dead(engine)
      assert AsyncLLM.is_running(engine) == {:ok, false}
      assert_well(other)
      assert AsyncLLM.shutdown(engine) == {:ok, nil}
      wait_until(fn -> children() -- before == [] end)
    end

    test "is not built from other values", %{engine: engine} do
      {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine)

      for wrong <- [%{}, [], nil, 7, "config", tokenizer],
          build <- [
            fn -> AsyncLLM.new(instance(), wrong, :auto, true) end,
            fn -> AsyncLLM.from_vllm_config(instance(), wrong) end
          ] do
        assert {:error, %Error{kind: :invalid} = error} = build.()
        assert error.message =~ "vllm_config"
      end

      config = config!(:divided)

      for wrong <- ["no such executor", "no.such:Module", "builtins:dict", "os:system", nil, 7] do
        assert {:error, %Error{kind: :invalid} = error} =
                 AsyncLLM.new(instance(), config, wrong, true)

        assert error.message =~ "executor_class"
      end

      assert {:error, %Error{kind: :invalid} = error} =
               AsyncLLM.new(instance(), config, "auto", true, [], no_such_keyword: 1)

      assert error.message =~ "no_such_keyword"
    end

    test "is a reference, and that of an engine is a copy", %{engine: engine} do
      config = config!(:divided)
      assert %Ref{type: "VllmConfig"} = config
      assert {:ok, %Ref{type: "VllmConfig"} = copy} = AsyncLLM.vllm_config(engine)
      assert {:ok, %Ref{} = model} = Vllm.call(copy, :model_config)
      assert Vllm.call(model, :max_model_len) == {:ok, 2048}
      assert Vllm.call(model, :model) == {:ok, model(:scripted)}
    end

    # tests/v1/engine/test_engine_args.py::test_prefix_caching_from_cli
    test "has its arguments checked by vLLM", _context do
      for {arguments, wrong} <- [
            {[prefix_caching_hash_algo: "invalid"], "prefix_caching_hash_algo"},
            {[enable_prefix_caching: "yes"], "enable_prefix_caching"},
            {[enable_sleep_mode: true], "Sleep mode is not supported"},
            {[max_model_len: 100_000], "max_model_len"}
          ],
          build <- [&AsyncEngineArgs.create_engine_config/2, &AsyncLLM.from_engine_args/2] do
        arguments = [model: model(:scripted)] ++ arguments
        assert {:error, %Error{kind: :invalid} = error} = build.(instance(), arguments)
        assert error.message =~ wrong
      end

      for enabled <- [true, false] do
        config = config!(:divided, enable_prefix_caching: enabled)
        {:ok, cache} = Vllm.call(config, :cache_config)
        assert Vllm.call(cache, :enable_prefix_caching) == {:ok, enabled}
      end

      config = config!(:divided, prefix_caching_hash_algo: "sha256_cbor")
      {:ok, cache} = Vllm.call(config, :cache_config)
      assert Vllm.call(cache, :prefix_caching_hash_algo) == {:ok, "sha256_cbor"}
    end
  end

  @tag timeout: 2 * @building
  # tests/v1/shutdown/test_delete.py::test_async_llm_delete, and an EngineCore that is killed.
  test "engines end with all their processes, however they end", %{engine: other} do
    other_children = children()

    # Shut down before a request was sent.
    engine = build!(:divided)
    assert [_, _ | _] = children() -- other_children
    assert AsyncLLM.shutdown(engine, timeout: 0.0) == {:ok, nil}
    wait_until(fn -> children() -- other_children == [] end)
    assert_dead(engine)
    # vLLM looks at the task that handles outputs, which the first request would have started.
    assert AsyncLLM.is_running(engine) == {:ok, true}

    # Killed with requests, and with a call that it has not answered.
    engine = build!(:divided)
    own = children() -- other_children
    assert [{core, _command}] = Enum.filter(own, fn {_pid, name} -> name =~ "EngineCore" end)
    assert AsyncLLM.pause_generation(engine, mode: "keep") == {:ok, nil}

    test = self()
    for n <- 1..16, do: report(test, fn -> last(generate(engine, "#{n}: count", endless())) end)
    {:ok, collector} = AsyncLLM.add_request(engine, "collected", "Hello", max_tokens: 5)
    wait_until(fn -> unfinished(engine) == 17 end)

    signal(core, "STOP")
    report(test, fn -> AsyncLLM.is_sleeping(engine) end)
    signal(core, "KILL")

    for _ <- 1..17 do
      assert_receive {:reported, result}
      assert {:error, %Error{kind: :engine_dead}} = result
    end

    assert {:error, %Error{kind: :engine_dead}} = Vllm.RequestOutputCollector.get(collector)

    assert_dead(engine)
    assert AsyncLLM.is_running(engine) == {:ok, false}
    assert_well(other)
    assert AsyncLLM.shutdown(engine) == {:ok, nil}
    wait_until(fn -> children() -- other_children == [] end)
    assert {:ok, status} = Vllm.status(instance())
    refute Enum.any?(status["engines"], &(&1["ref"] == engine.id))
  end

  defp config!(kind, more \\ []) do
    {:ok, config} = AsyncEngineArgs.create_engine_config(instance(), arguments(kind, more))
    config
  end

  defp signal(pid, name), do: {_said, 0} = System.cmd("kill", ["-#{name}", pid])

  defp report(test, fun), do: spawn_link(fn -> send(test, {:reported, fun.()}) end)

  defp last(stream) do
    {:ok, stream |> Enum.to_list() |> List.last()}
  rescue
    error in Error -> {:error, error}
  end

  # The processes of vLLM's that the worker has. One of them belongs to Python and stays.
  defp children do
    {:ok, %{"pid" => worker}} = Vllm.status(instance())
    for {pid, command} <- group(worker), command =~ "VLLM::", do: {pid, command}
  end

  defp assert_dead(engine) do
    wait_until(fn -> AsyncLLM.errored(engine) == {:ok, true} end)
    assert AsyncLLM.is_stopped(engine) == {:ok, true}
    assert {:ok, %Error{kind: :engine_dead}} = AsyncLLM.dead_error(engine)

    for call <- [
          fn -> AsyncLLM.check_health(engine) end,
          fn -> AsyncLLM.generate(engine, "Hello", [max_tokens: 1], request_id()) end,
          fn -> AsyncLLM.add_request(engine, request_id(), "Hello", max_tokens: 1) end,
          fn -> AsyncLLM.is_sleeping(engine) end,
          fn -> AsyncLLM.pause_generation(engine) end,
          fn -> AsyncLLM.collective_rpc(engine, "check_health") end
        ] do
      assert {:error, %Error{kind: :engine_dead} = error} = call.()
      assert Exception.message(error) =~ "Build a new engine"
    end
  end
end
