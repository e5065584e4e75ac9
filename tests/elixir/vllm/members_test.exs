defmodule Vllm.RealEngine.MembersTest do
  # Every function of Vllm.AsyncLLM on a real engine, with its exact result or its exact error. What
  # the functions do beyond that is in the other files of this folder.
  use Vllm.VllmEngine, engine: :scripted

  @greedy [temperature: 0.0, max_tokens: 16]

  # Of an engine on a CPU, without adapters, without a profiler and without weight transfer.
  @no_lora "LoRA is not enabled"
  @no_profiler "Profiling is not enabled. Please set --profiler-config to enable profiling."
  @no_transfer "Weight transfer not configured. Please set weight_transfer_config"

  # `{arguments, expected}`: a result; `{kind, part of the message}` of an error; or a check of ours.
  # Where there are several they are called in this order.
  @members %{
    _add_request: [{["request", nil, nil, 0, nil], {:unsupported, "add_request"}}],
    _run_output_handler: [{[], {:ok, nil}}, {[], {:ok, nil}}],
    abort: [
      {["nobody"], {:ok, nil}},
      {[["nobody", "somebody"]], {:ok, nil}},
      {["nobody", [true]], {:ok, nil}},
      {["nobody", [], [internal: false]], {:ok, nil}}
    ],
    add_lora: [
      {[%{lora_name: "a", lora_int_id: 1, lora_path: "/"}], {:invalid, @no_lora}},
      {[[]], {:invalid, "lora_request"}}
    ],
    add_request: [{["r", "Hello", @greedy], :says_hello}],
    check_admission: [{[], {:ok, nil}}, {[1], {:invalid, "further positional"}}],
    check_health: [{[], {:ok, nil}}],
    checkpoint_prepare: [{[], {:ok, nil}}],
    checkpoint_restore: [{[], {:ok, nil}}],
    collective_rpc: [{["check_health"], {:ok, [nil]}}, {["no_such"], {:invalid, "no_such"}}],
    compute_weight_checksums: [{[], :checksums}],
    dead_error: [{[], :dead_error}],
    do_log_stats: [{[], {:ok, nil}}],
    encode: [
      {["Hello", [task: "embed"], "r"], {:invalid, "This model does not support pooling"}}
    ],
    encode_collect: [
      {["Hello", [task: "embed"], "r"], {:invalid, "This model does not support pooling"}}
    ],
    errored: [{[], {:ok, false}}],
    finish_weight_update: [{[], {:engine_error, @no_transfer}}],
    # The engine of this test is what it returns.
    from_engine_args: [{[[model: 7]], {:invalid, "model"}}],
    from_vllm_config: [{[%{}], {:invalid, "vllm_config"}}],
    generate: [{["Hello", @greedy, "r"], :says_hello}],
    generate_collect: [{["Hello", @greedy, "r"], :says_hello}],
    get_kv_event_sources: [{[], {:ok, %{}}}],
    get_num_queued_tokens: [{[], {:ok, 0}}],
    get_num_unfinished_requests: [{[], {:ok, 0}}],
    get_status: [
      {[], {:ok, %{"engines" => [], "schema_version" => 1, "total_engines" => 1}}}
    ],
    get_supported_tasks: [{[], {:ok, {"generate"}}}],
    get_tokenizer: [{[], :tokenizer}],
    get_weight_version: [{[], {:ok, "default"}}],
    handle_fault: [{[%{instruction: "pause", params: %{}}], {:unsupported, "fault tolerance"}}],
    init_weight_transfer_engine: [{[[init_info: %{}]], {:engine_error, @no_transfer}}],
    is_paused: [{[], {:ok, false}}],
    is_running: [{[], {:ok, true}}],
    is_sleeping: [{[], {:ok, false}}],
    is_stopped: [{[], {:ok, false}}],
    is_tracing_enabled: [{[], {:ok, false}}],
    list_loras: [{[], {:invalid, @no_lora}}],
    new: [{[%{}, "auto", true], {:invalid, "vllm_config"}}],
    notify_kv_transfer_request_rejected: [{["r", %{}], {:ok, nil}}],
    pause_generation: [
      {[], {:ok, nil}},
      {[[mode: "sometimes"]], {:invalid, "mode"}}
    ],
    pin_lora: [{[1], {:invalid, @no_lora}}],
    release_kv_cache_memory: [{[], {:engine_error, "requires a completed pause first"}}],
    remove_lora: [{[1], {:invalid, @no_lora}}],
    reset_encoder_cache: [{[], {:ok, nil}}],
    reset_mm_cache: [{[], {:ok, nil}}],
    reset_prefix_cache: [{[], {:ok, true}}, {[[true, true]], {:ok, true}}],
    resume_generation: [{[], {:ok, nil}}],
    scale_elastic_ep: [
      {[1], {:ok, nil}},
      {[1, [drain_timeout: 5]], {:ok, nil}},
      {[2], {:unsupported, "needs an engine with data parallelism over Ray"}}
    ],
    # Other files shut engines down. This one is still wanted.
    shutdown: [{[[timeout: "soon"]], {:invalid, "timeout"}}],
    shutdown_weight_transfer_engine: [{[], {:ok, nil}}],
    sleep: [{[], {:ok, nil}}, {[[level: "deep"]], {:invalid, "level"}}],
    start_draft_weight_update: [{[], {:engine_error, @no_transfer}}],
    start_profile: [{[], {:engine_error, @no_profiler}}],
    start_weight_update: [{[], {:engine_error, @no_transfer}}],
    stop_profile: [{[], {:engine_error, @no_profiler}}],
    tokenizer: [{[], :tokenizer}],
    update_weight_version: [
      {["step-42"], {:ok, nil}},
      {["default"], {:ok, nil}},
      {[5], {:invalid, "new_version"}}
    ],
    update_weights: [{[[update_info: %{}]], {:engine_error, @no_transfer}}],
    vllm_config: [{[], :config}],
    wait_for_requests_to_drain: [{[], {:ok, nil}}, {[[5]], {:ok, nil}}],
    wake_up: [{[], {:ok, true}}, {[[tags: "weights"]], {:invalid, "tags"}}]
  }

  # What a call of a member has to be followed by, for the others.
  @undo %{pause_generation: :resume_generation, sleep: :wake_up}

  test "the table has every public member" do
    assert AsyncLLM.__info__(:functions) |> Keyword.keys() |> Enum.uniq() ==
             @members |> Map.keys() |> Enum.sort()
  end

  for {name, calls} <- @members do
    test "#{name}", %{engine: engine} do
      for {arguments, expected} <- unquote(Macro.escape(calls)) do
        result = apply(AsyncLLM, unquote(name), [engine | arguments])
        assert_expected(expected, result)
      end

      with undo when undo != nil <- @undo[unquote(name)],
           do: assert({:ok, _} = apply(AsyncLLM, undo, [engine]))

      assert_well(engine)
    end
  end

  test "an unknown option is refused by name", %{engine: engine} do
    for {name, [{arguments, _expected} | _]} <- @members,
        name not in [:from_engine_args, :from_vllm_config, :new, :_add_request],
        arguments = if(name == :shutdown, do: [], else: arguments),
        function_exported?(AsyncLLM, name, length(arguments) + 2) do
      result = apply(AsyncLLM, name, [engine | arguments] ++ [[no_such_option: 1]])
      assert {^name, {:error, %Error{kind: :invalid} = error}} = {name, result}
      assert error.message =~ "no_such_option"
    end

    assert_well(engine)
  end

  describe "the state of the weights" do
    # tests/entrypoints/weight_transfer/test_weight_transfer_llm.py::test_full_weight_transfer_flow
    test "has a version that outputs carry", %{engine: engine} do
      assert AsyncLLM.get_weight_version(engine) == {:ok, "default"}
      assert AsyncLLM.update_weight_version(engine, "step-42") == {:ok, nil}
      assert AsyncLLM.get_weight_version(engine) == {:ok, "step-42"}
      assert %{outputs: [%{weight_versions: [span]}]} = complete(engine, "Hello", @greedy)
      assert span.version == "step-42"
      assert AsyncLLM.update_weight_version(engine, "default") == {:ok, nil}
    end

    test "is not affected by an update that cannot start", %{engine: engine} do
      for call <- [
            fn -> AsyncLLM.init_weight_transfer_engine(engine, init_info: %{}) end,
            fn -> AsyncLLM.start_weight_update(engine) end,
            fn -> AsyncLLM.update_weights(engine, update_info: %{}) end,
            fn -> AsyncLLM.finish_weight_update(engine, weight_version: "step-1") end
          ] do
        assert {:error, %Error{kind: :engine_error} = error} = call.()
        assert error.message =~ @no_transfer
        assert_well(engine)
      end

      assert AsyncLLM.get_weight_version(engine) == {:ok, "default"}
    end
  end

  test "calls of 50 processes see one event loop and one task for outputs", %{engine: engine} do
    seen =
      1..50
      |> Enum.map(fn _ ->
        Task.async(fn ->
          complete(engine, "Hello", @greedy)
          {:ok, [_loop, _task] = seen} = Vllm.call(engine, :loop_and_output_handler)
          seen
        end)
      end)
      |> Task.await_many(:infinity)

    assert [_one] = Enum.uniq(seen)
    assert AsyncLLM._run_output_handler(engine) == {:ok, nil}
    assert {:ok, again} = Vllm.call(engine, :loop_and_output_handler)
    assert [again] == Enum.uniq(seen)
  end

  test "a plain method and a coroutine give the same", %{engine: engine} do
    assert {:ok, %Ref{} = plain} = AsyncLLM.get_tokenizer(engine)
    assert {:ok, %Ref{} = later} = Vllm.call(engine, :get_tokenizer_later)
    assert {:ok, %Ref{} = property} = AsyncLLM.tokenizer(engine)
    assert plain.type == later.type
    assert [plain.id] == Enum.uniq([plain.id, later.id, property.id])
  end

  test "no coroutine is left un-awaited", %{engine: engine} do
    log =
      ExUnit.CaptureLog.capture_log(fn ->
        for {name, calls} <- @members, {arguments, _expected} <- calls do
          apply(AsyncLLM, name, [engine | arguments])
          with undo when undo != nil <- @undo[name], do: apply(AsyncLLM, undo, [engine])
        end

        # One that is, for comparison: Python says so, behind all that was said before.
        assert Vllm.call(engine, :leave_unawaited) == {:ok, nil}
        wait_until(fn -> Enum.any?(lines(), &(&1 =~ "leave_unawaited.<locals>.left")) end)
      end)

    assert [said] = log |> String.split("\n") |> Enum.filter(&(&1 =~ "never awaited"))
    assert said =~ "leave_unawaited.<locals>.left"
  end

  ## What is expected

  defp assert_expected({:ok, expected}, result), do: assert(result == {:ok, expected})

  defp assert_expected({kind, part}, result) do
    assert {:error, %Error{} = error} = result
    assert {error.kind, error.message} == {kind, error.message}
    assert error.message =~ part
  end

  defp assert_expected(:says_hello, {:ok, %RequestOutput{} = output}),
    do: assert(text(output) == hello())

  defp assert_expected(:says_hello, {:ok, %Stream{} = stream}),
    do: assert_expected(:says_hello, Stream.collect(stream))

  defp assert_expected(:says_hello, {:ok, %Ref{type: "RequestOutputCollector"} = collector}) do
    assert {:ok, output} = Vllm.RequestOutputCollector.get(collector)
    output = if output.finished, do: {:ok, output}, else: {:ok, collector}
    assert_expected(:says_hello, output)
  end

  defp assert_expected(:dead_error, result) do
    assert {:ok, %Error{kind: :engine_dead} = error} = result
    assert error.type == "vllm.v1.engine.exceptions.EngineDeadError"
  end

  defp assert_expected(:tokenizer, result) do
    assert {:ok, %Ref{} = tokenizer} = result
    assert {:ok, ids} = Vllm.call(tokenizer, :encode, ["Hello"])
    assert Vllm.call(tokenizer, :decode, [ids]) == {:ok, "Hello"}
    assert {:ok, size} = Vllm.call(tokenizer, :vocab_size)
    assert size > Enum.max(ids)
    messages = [%{role: "user", content: "Hello"}]
    assert {:ok, chat} = Vllm.call(tokenizer, :apply_chat_template, [messages], tokenize: false)
    assert chat =~ "Hello"
  end

  defp assert_expected(:config, result) do
    assert {:ok, %Ref{type: "VllmConfig"} = config} = result
    assert {:ok, %Ref{} = scheduler} = Vllm.call(config, :scheduler_config)
    assert Vllm.call(scheduler, :max_num_queued_reqs) == {:ok, nil}
  end

  defp assert_expected(:checksums, result) do
    assert {:ok, [%{} = checksums]} = result
    assert {name, _} = Enum.find(checksums, fn {name, _} -> name =~ "embed_tokens" end)
    assert name =~ "dp0:pp0"
    for {_name, checksum} <- checksums, do: assert(checksum =~ ~r/\A[0-9a-f]{64}\z/)
  end

  # The last lines of the worker's log.
  defp lines do
    {:ok, worker} = Vllm.Core.Instance.Locator.server({instance(), node()}, "Worker")
    Vllm.Core.Worker.info(worker).log
  end
end
