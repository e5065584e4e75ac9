defmodule Vllm.Bridge.MelleaTest do
  # Mellea in a real worker, on the scripted engine: sessions whose validators are functions here, who
  # holds what, and how calls end. Real models are in the lane `vllm`.
  # vLLM's files of the worker, for the test of the compile cache.
  @cache_root Path.join(System.tmp_dir!(), "vllm-mellea-#{System.pid()}")

  use Vllm.BridgeCase, instance: [env: %{"VLLM_CACHE_ROOT" => @cache_root}]

  alias Vllm.{Absurd, Mellea, SamplingParams, StandIns, Tool}
  alias Vllm.Core.Mellea.Settings
  alias Vllm.Mellea.Backends.LocalVLLMBackend

  alias Vllm.Mellea.{
    ChatContext,
    Component,
    GenerateLog,
    Instruction,
    Message,
    ModelOption,
    ModelOutputThunk,
    Requirement,
    Result,
    SimpleContext,
    TemplateFormatter,
    ToolCall,
    ValidationResult
  }

  setup %{engine: engine} do
    {:ok, backend} = LocalVLLMBackend.new("a/model", engine: engine)
    %{backend: backend}
  end

  defp session(backend, opts \\ [context: %ChatContext{}]) do
    {:ok, session} = Mellea.start_session(backend, opts)
    session
  end

  # The engine says these, one after the other.
  defp say(engine, texts),
    do: for(text <- texts, do: Vllm.Test.reply(engine, :any, [text], times: 1))

  defp hang(engine), do: Vllm.Test.hang_after(engine, 0)
  defp running?(engine), do: Vllm.Test.live(engine) > 0
  defp prompt(request), do: request.prompt["prompt"]

  describe "instruct" do
    # Upstream: test_vllm.py::test_instruct (U-76)
    test "asks functions of the caller's, until a text is good", context do
      say(context.engine, ["one", "two", "three"])
      test = self()

      validate = fn text ->
        send(test, {:asked, text, Process.get(:"$callers")})
        if text == "two", do: true, else: {false, "it is not two"}
      end

      assert {:ok, %Result{value: "two", success: true} = result} =
               Mellea.instruct(session(context.backend), "Write {{what}}.",
                 user_variables: %{what: "two"},
                 requirements: [%Requirement{description: "is two", validate: validate}],
                 loop_budget: 3
               )

      assert_received {:asked, "one", [^test | _]}
      assert_received {:asked, "two", _callers}
      refute_received {:asked, _text, _callers}

      assert [%{value: "one", validations: [first]}, %{value: "two", validations: [second]}] =
               result.samples

      assert %ValidationResult{requirement: "is two", result: false, reason: "it is not two"} =
               first

      assert second.result == true
      assert ModelOutputThunk.avalue(result.thunk) == {:ok, "two"}
      request = Vllm.Test.assert_generated(context.engine)
      assert prompt(request) =~ "Write two."
    end

    test "tells that no text was good", context do
      say(context.engine, ["one", "two"])
      never = %Requirement{validate: fn _text -> %ValidationResult{result: false, score: 1} end}

      assert {:ok, %Result{success: false, samples: samples}} =
               Mellea.instruct(session(context.backend), "x", requirements: [never])

      assert [%{validations: [%{result: false, score: 1.0}]}, _other] = samples
    end

    test "takes an instruction, and a repair tells the model what was wrong", context do
      say(context.engine, ["one", "two"])
      good = %Requirement{description: "is two", validate: &{&1 == "two", "say two"}}
      instruction = %Instruction{description: "Count.", requirements: [good]}
      session = session(context.backend)

      assert {:ok, %Result{value: "two"}} =
               Mellea.instruct(session, instruction, strategy: :repair_template)

      assert [_first, second] = Vllm.Test.requests(context.engine)
      assert prompt(second) =~ "say two"
    end

    test "ends with an error where a validator fails, and the text with it", context do
      session = session(context.backend)

      for {validate, opts, kind, text} <- [
            {fn _ -> raise "its own" end, [], :invalid, "its own"},
            {fn _ -> :maybe end, [], :invalid, ":maybe"},
            {fn _ -> Process.sleep(:infinity) end, [validator_timeout: 1], :timeout, "too long"}
          ] do
        requirements = ["x", %Requirement{description: "y", validate: validate}]
        opts = [requirements: requirements, loop_budget: 3] ++ opts
        # The model judges the first requirement.
        assert {:error, %Error{kind: ^kind} = error} = Mellea.instruct(session, "x", opts)
        assert error.message =~ text
        assert error.message =~ "requirement 1"
        wait_until(fn -> not running?(context.engine) end)
      end

      # The session goes on.
      assert {:ok, %Result{}} = Mellea.instruct(session, "x", strategy: nil)
    end

    test "ends with its caller, even while a validator runs", context do
      session = session(context.backend)
      test = self()

      validate = fn _text ->
        send(test, {:validator, self()})
        Process.sleep(:infinity)
      end

      {caller, monitor} =
        spawn_monitor(fn ->
          Mellea.instruct(session, "x", requirements: [%Requirement{validate: validate}])
        end)

      assert_receive {:validator, validator}, 60_000
      watched = Process.monitor(validator)
      Process.exit(caller, :kill)
      assert_receive {:DOWN, ^monitor, _, _, _}, 60_000
      assert_receive {:DOWN, ^watched, _, _, :killed}, 60_000
      assert {:ok, nil} = Mellea.reset(session)
    end
  end

  describe "a call" do
    test "ends at its deadline, and the request with it", context do
      hang(context.engine)
      session = session(context.backend)
      assert {:error, %Error{kind: :timeout}} = Mellea.chat(session, "x", timeout: 500)
      wait_until(fn -> not running?(context.engine) end)
    end

    test "ends with its caller, and the request with it", context do
      hang(context.engine)
      session = session(context.backend)
      caller = spawn(fn -> Mellea.chat(session, "x") end)
      wait_until(fn -> running?(context.engine) end)
      # The next call of the session waits for its turn.
      assert {:error, %Error{kind: :timeout}} = Mellea.chat(session, "y", timeout: 100)
      Process.exit(caller, :kill)
      wait_until(fn -> not running?(context.engine) end)
    end

    test "ends with the engine", context do
      hang(context.engine)
      session = session(context.backend)
      calls = Task.async(fn -> Mellea.chat(session, "x") end)
      wait_until(fn -> running?(context.engine) end)
      Vllm.Test.die(context.engine)
      assert {:error, %Error{kind: :engine_dead}} = Task.await(calls, 60_000)

      assert {:error, %Error{kind: :engine_dead}} =
               LocalVLLMBackend.generate_from_context(context.backend, "x", %ChatContext{})
    end
  end

  test "a chat goes on, and is judged by the model or by a function", context do
    session = session(context.backend)
    say(context.engine, ["Hello.", "Well."])
    assert {:ok, %Message{role: :assistant, content: "Hello."}} = Mellea.chat(session, "Hi")
    assert {:ok, %Message{content: "Well.", tool_calls: nil}} = Mellea.chat(session, "How?")
    assert {:ok, messages} = Mellea.context(session)
    assert Enum.map(messages, & &1.content) == ["Hi", "Hello.", "How?", "Well."]
    [_first, second] = Vllm.Test.requests(context.engine)
    assert prompt(second) =~ "<|user|>Hi\n<|assistant|>Hello.\n<|user|>How?"

    say(context.engine, ["yes"])
    own = %Requirement{validate: &(&1 == "Well.")}

    assert {:ok, [%ValidationResult{result: true}, %ValidationResult{result: true}]} =
             Mellea.validate(session, ["is polite", own])

    assert {:ok, [%ValidationResult{result: false}]} =
             Mellea.validate(session, [own], output: "other")

    assert {:ok, nil} = Mellea.reset(session)
    assert {:ok, []} = Mellea.context(session)
  end

  describe "a thunk" do
    test "streams, and has a log", context do
      Vllm.Test.reply(context.engine, :any, for(n <- 1..40, do: " #{n}"))
      options = %{stream: true, seed: 7, system_prompt: "Count."}

      assert {:ok, {thunk, after_it}} =
               LocalVLLMBackend.generate_from_context(context.backend, "Go.", %ChatContext{},
                 model_options: Map.put(options, :max_new_tokens, 40)
               )

      {:ok, stream} = ModelOutputThunk.to_stream(thunk)
      text = Enum.join(stream)
      assert ModelOutputThunk.avalue(thunk) == {:ok, text}
      assert ModelOutputThunk.value(thunk) == {:ok, text}
      assert ModelOutputThunk.is_computed(thunk) == {:ok, true}
      assert ModelOutputThunk.parsed_repr(thunk) == {:ok, text}
      assert {:error, %Error{kind: :invalid}} = ModelOutputThunk.astream(thunk)
      assert {:ok, %GenerateLog{} = log} = ModelOutputThunk.generate_log(thunk)
      assert log.backend == "vllm::a/model"
      assert log.extra["seed"] == 7
      assert log.usage["completion_tokens"] == 40
      assert %ChatContext{turns: ["Go.", ^thunk]} = after_it

      {:ok, prompt} = LocalVLLMBackend.render_prompt(context.backend, "On.", after_it)
      assert prompt == "<|user|>Go.\n<|assistant|>#{text}\n<|user|>On.\n<|assistant|>"
    end

    test "that nobody holds stops generating", context do
      hang(context.engine)
      test = self()

      holder =
        spawn(fn ->
          {:ok, {thunk, _context}} =
            LocalVLLMBackend.generate_from_context(context.backend, "x", %ChatContext{})

          send(test, {:begun, thunk})
          Process.sleep(:infinity)
        end)

      assert_receive {:begun, thunk}, 60_000
      wait_until(fn -> running?(context.engine) end)
      Process.exit(holder, :kill)
      wait_until(fn -> not running?(context.engine) end)
      assert {:error, %Error{kind: :stale_ref}} = ModelOutputThunk.avalue(thunk)
    end

    test "has the tool calls of its text, which run here", context do
      Vllm.Test.reply(context.engine, :any, [~s({"name": "add", "arguments": {"a": "2", "b": 3}})])

      number = %{type: "integer"}

      tool = %Tool{
        name: "add",
        parameters: %{type: "object", properties: %{a: number, b: number}},
        run: fn %{"a" => a, "b" => b} -> a + b end
      }

      {:ok, {thunk, _context}} =
        LocalVLLMBackend.generate_from_context(context.backend, "x", %SimpleContext{},
          tools: [tool],
          tool_calls: true
        )

      assert {:ok, %{"add" => call}} = ModelOutputThunk.tool_calls(thunk, [tool])
      assert call.args == %{"a" => 2, "b" => 3}
      assert ToolCall.call(call) == {:ok, 5}
      assert prompt(Vllm.Test.assert_generated(context.engine)) =~ "<|tool|>add"
    end

    test "is cancelled, and keeps what there was", context do
      hang(context.engine)

      {:ok, {thunk, _context}} =
        LocalVLLMBackend.generate_from_context(context.backend, "x", %ChatContext{})

      wait_until(fn -> running?(context.engine) end)
      assert {:ok, nil} = ModelOutputThunk.cancel(thunk)
      wait_until(fn -> not running?(context.engine) end)
      assert {:ok, true} = ModelOutputThunk.is_computed(thunk)
    end
  end

  test "raw texts come in order, without a template", context do
    for name <- ~w(a b c), do: Vllm.Test.reply(context.engine, name, [name <> "!"])
    assert {:ok, thunks} = LocalVLLMBackend.generate_from_raw(context.backend, ~w(a b c))
    values = for thunk <- thunks, do: ModelOutputThunk.avalue(thunk)
    assert values == [{:ok, "a!"}, {:ok, "b!"}, {:ok, "c!"}]
    assert {:ok, []} = LocalVLLMBackend.generate_from_raw(context.backend, [])
  end

  test "two requests have two ids", context do
    hang(context.engine)

    ids =
      for _ <- 1..2 do
        {:ok, {thunk, _context}} =
          LocalVLLMBackend.generate_from_context(context.backend, "x", %ChatContext{})

        {:ok, id} = ModelOutputThunk.request_id(thunk)
        {id, thunk}
      end

    assert [{one, _}, {two, _}] = ids
    assert one != two
    wait_until(fn -> Vllm.Test.live(context.engine) == 2 end)
    {:ok, nil} = AsyncLLM.abort(context.engine, one)
    wait_until(fn -> Vllm.Test.live(context.engine) == 1 end)
  end

  describe "hooks" do
    test "change a call, beside the caller, and see its text", context do
      say(context.engine, ["two"])
      session = session(context.backend)
      test = self()

      hooks = [
        generation_pre_call: fn call ->
          send(test, {:before, call, Process.get(:"$callers")})
          {:modify, model_options: %{system_prompt: "Changed.", max_new_tokens: 3}}
        end,
        generation_post_call: fn made -> send(test, {:after, made}) end
      ]

      assert {:ok, %Result{value: "two"}} =
               Mellea.instruct(session, "Count.", strategy: nil, hooks: hooks)

      assert_received {:before, %{hook: :generation_pre_call} = call, [^test | _]}
      assert [%Message{role: "user", content: content}] = call.messages
      assert content =~ "Count."
      assert %{model: "a/model", provider: "vllm", format: nil, tool_calls: false} = call
      assert_received {:after, %{hook: :generation_post_call, value: "two"} = made}
      assert made.generation_id == call.generation_id
      assert made.latency_ms >= 0
      assert [request] = Vllm.Test.requests(context.engine)
      assert prompt(request) =~ "Changed."
      assert request.params.max_tokens == 3
    end

    test "run for every text, also for the judge's", context do
      say(context.engine, ["a", "no", "b", "yes"])
      session = session(context.backend)
      count = :counters.new(1, [])
      hooks = [generation_pre_call: fn _call -> :counters.add(count, 1, 1) end]
      options = [requirements: ["is b"], hooks: hooks]
      assert {:ok, %Result{value: "b"}} = Mellea.instruct(session, "x", options)
      assert :counters.get(count, 1) == 4

      say(context.engine, ["yes"])
      assert {:ok, [%{result: true}]} = Mellea.validate(session, ["is b"], hooks: hooks)
      assert :counters.get(count, 1) == 5
    end

    test "that block or fail end the call, and nothing is generated", context do
      session = session(context.backend)
      backend = context.backend

      calls = [
        &Mellea.chat(session, "x", &1),
        &Mellea.instruct(session, "x", &1),
        &LocalVLLMBackend.generate_from_context(backend, "x", %ChatContext{}, &1)
      ]

      for call <- calls,
          {hook, opts, kind, text} <- [
            {fn _ -> {:block, "not today"} end, [], :cancelled, "blocked the call: not today"},
            {fn _ -> raise "its own" end, [], :invalid, "failed: its own"},
            {fn _ -> :maybe end, [], :invalid, ":maybe"},
            {fn _ -> {:modify, model_options: %{temperature: "hot"}} end, [], :invalid,
             "temperature"},
            {fn _ -> {:modify, format: 5} end, [], :invalid, "format"},
            {fn _ -> Process.sleep(:infinity) end, [hook_timeout: 1], :timeout, "hook_timeout"}
          ] do
        assert {:error, %Error{kind: ^kind} = error} =
                 call.([hooks: [generation_pre_call: hook]] ++ opts)

        assert error.message =~ text
      end

      assert Vllm.Test.requests(context.engine) == []
      assert {:ok, %Message{}} = Mellea.chat(session, "x")
    end

    test "of a text that is only begun run before it, and the text outlives the call", context do
      hang(context.engine)
      cold = fn _call -> {:modify, model_options: %{temperature: 0.0}} end
      hooks = [generation_pre_call: cold]

      {:ok, {thunk, %ChatContext{}}} =
        LocalVLLMBackend.generate_from_context(context.backend, "x", %ChatContext{}, hooks: hooks)

      wait_until(fn -> running?(context.engine) end)
      assert Vllm.Test.assert_generated(context.engine).params.temperature == 0.0
      assert {:ok, nil} = ModelOutputThunk.cancel(thunk)

      assert {:error, %Error{kind: :unsupported}} =
               LocalVLLMBackend.generate_from_context(context.backend, "x", %ChatContext{},
                 hooks: [generation_post_call: & &1]
               )
    end

    test "of raw texts see all of them", context do
      for name <- ~w(a b), do: Vllm.Test.reply(context.engine, name, [name <> "!"])
      test = self()

      hooks = [
        generation_batch_pre_call: fn call ->
          send(test, {:before, call.prompts, call.num_actions})
          :ok
        end,
        generation_batch_post_call:
          &send(test, {:after, Enum.map(&1.outputs, fn it -> it.value end)})
      ]

      assert {:ok, [_, _] = thunks} =
               LocalVLLMBackend.generate_from_raw(context.backend, ~w(a b), %SimpleContext{},
                 hooks: hooks
               )

      assert for(it <- thunks, do: ModelOutputThunk.avalue(it)) == [{:ok, "a!"}, {:ok, "b!"}]
      assert_received {:before, ["a", "b"], 2}
      assert_received {:after, ["a!", "b!"]}
    end

    test "end with their caller", context do
      test = self()

      hook = fn _call ->
        send(test, {:hook, self()})
        Process.sleep(:infinity)
      end

      session = session(context.backend)
      caller = spawn(fn -> Mellea.chat(session, "x", hooks: [generation_pre_call: hook]) end)
      assert_receive {:hook, runner}, 60_000
      watched = Process.monitor(runner)
      Process.exit(caller, :kill)
      assert_receive {:DOWN, ^watched, _, _, :killed}, 60_000
      assert {:ok, nil} = Mellea.reset(session)
      assert Vllm.Test.requests(context.engine) == []
    end
  end

  describe "a thunk of one's own" do
    test "is filled with the outputs of a request, and ends with its calls and its log",
         context do
      said = ~s({"name": "f", "arguments": {"a": "1"}})
      Vllm.Test.reply(context.engine, :any, for(part <- String.graphemes(said), do: part))
      tool = %Tool{name: "f", parameters: %{type: "object", properties: %{a: %{type: "integer"}}}}
      options = %{seed: 3}
      {:ok, thunk} = ModelOutputThunk.new(context.backend, action: "Go.", model_options: options)

      params = %SamplingParams{output_kind: :DELTA, max_tokens: 100}
      {:ok, outputs} = AsyncLLM.generate(context.engine, "prompt", params, "own")

      for output <- outputs,
          do: assert({:ok, nil} = LocalVLLMBackend.processing(context.backend, thunk, output))

      assert ModelOutputThunk.is_computed(thunk) == {:ok, false}
      assert ModelOutputThunk.value(thunk) == {:ok, nil}
      assert {:error, %Error{kind: :invalid}} = ModelOutputThunk.avalue(thunk)
      messages = [%Message{role: :user, content: "Go."}]

      assert {:ok, nil} =
               LocalVLLMBackend.post_processing(
                 context.backend,
                 thunk,
                 messages,
                 nil,
                 true,
                 [tool],
                 3
               )

      assert ModelOutputThunk.avalue(thunk) == {:ok, said}
      assert ModelOutputThunk.parsed_repr(thunk) == {:ok, said}
      assert {:ok, %{"f" => %ToolCall{args: %{"a" => 1}}}} = ModelOutputThunk.tool_calls(thunk)
      assert {:ok, %GenerateLog{} = log} = ModelOutputThunk.generate_log(thunk)
      assert log.prompt == [%{"role" => "user", "content" => "Go."}]
      assert log.extra["tools_called"] == ["f"]
      assert log.extra["seed"] == 3
      assert log.usage["completion_tokens"] == String.length(said)
      assert ModelOutputThunk.request_id(thunk) == {:ok, nil}

      # It is a turn of a context like any other, and takes nothing more.
      context_of = %ChatContext{turns: ["Go.", thunk]}
      {:ok, prompt} = LocalVLLMBackend.render_prompt(context.backend, "On.", context_of)
      assert prompt =~ "<|assistant|>" <> said
      output = %RequestOutput{outputs: []}
      again = LocalVLLMBackend.processing(context.backend, thunk, output)
      assert {:error, %Error{kind: :invalid, message: message}} = again
      assert message =~ "whole already"
    end

    test "is none that a request makes", context do
      hang(context.engine)

      {:ok, {thunk, _context}} =
        LocalVLLMBackend.generate_from_context(context.backend, "x", %ChatContext{})

      for call <- [
            fn -> LocalVLLMBackend.processing(context.backend, thunk, %RequestOutput{}) end,
            fn ->
              LocalVLLMBackend.post_processing(context.backend, thunk, "x", nil, false, [], nil)
            end
          ] do
        assert {:error, %Error{kind: :invalid, message: message}} = call.()
        assert message =~ "its own request makes this text"
      end

      assert {:ok, nil} = ModelOutputThunk.cancel(thunk)
    end
  end

  test "a text that is JSON is parsed", %{instance: instance} do
    on = [instance: instance]
    assert Mellea.parse_json(~s({"a": [1, "x"]}), on) == {:ok, %{"a" => [1, "x"]}}
    assert {:error, %Error{kind: :invalid} = error} = Mellea.parse_json(~s({"a": "cut), on)
    assert error.message =~ "max_new_tokens"
  end

  # Upstream: test_tool_validation_integration.py (U-163), whose cases are in
  # tests/python/unit/integrations/mellea/test_tools.py.
  test "the arguments of a call fit the tool's schema, or are refused", %{instance: instance} do
    tool = %Tool{
      name: "f",
      parameters: %{type: "object", properties: %{days: %{type: "integer"}}, required: ["days"]}
    }

    on = [instance: instance]
    validate = &ToolCall.validate_arguments(tool, &1, &2 ++ on)
    assert validate.(%{"days" => "3"}, []) == {:ok, %{"days" => 3}}
    assert validate.(%{"days" => "3"}, coerce_types: false) == {:ok, %{"days" => "3"}}
    assert validate.(%{"days" => "many"}, []) == {:ok, %{"days" => "many"}}
    assert {:error, %Error{kind: :invalid} = error} = validate.(%{"days" => "many"}, strict: true)
    assert error.message =~ "days: Input should be a valid integer"
  end

  test "options of the call stand before those of the backend", %{engine: engine} do
    options = %{max_new_tokens: 5, temperature: 0.5, bogus: 1}
    {:ok, backend} = LocalVLLMBackend.new("a/model", engine: engine, model_options: options)

    assert {:ok, %{sampling: sampling}} =
             LocalVLLMBackend.effective_options(backend, temperature: 0.0, nonsense: true)

    assert sampling == %{"max_tokens" => 5, "temperature" => 0.0}
    {:ok, to} = LocalVLLMBackend.to_mellea_model_opts_map(backend)
    {:ok, from} = LocalVLLMBackend.from_mellea_model_opts_map(backend)
    assert %{"max_tokens" => "@@@max_new_tokens@@@", "temperature" => "temperature"} = to
    assert Map.new(to, fn {name, mellea} -> {mellea, name} end) == from
  end

  test "an engine that was given stays its owner's", context do
    for function <- [:engine_args, :restart_engine, :shutdown] do
      assert {:error, %Error{kind: :unsupported}} =
               apply(LocalVLLMBackend, function, [context.backend])
    end

    assert {:ok, nil} = AsyncLLM.check_health(context.engine)
  end

  test "an engine of its own is built, restarted and shut down", %{instance: instance} do
    options = %{max_model_len: 512, bogus: 1, seed: 7}
    {:ok, backend} = LocalVLLMBackend.new("fake", instance: instance, model_options: options)
    {:ok, args} = LocalVLLMBackend.engine_args(backend)

    assert args == %{
             "max_model_len" => 512,
             "max_num_seqs" => 16,
             "gpu_memory_utilization" => 0.9,
             "seed" => 7
           }

    # An option that both know reaches both.
    assert LocalVLLMBackend.effective_options(backend, top_k: 5, nonsense: true) ==
             {:ok, %{engine: args, sampling: %{"seed" => 7, "top_k" => 5}}}

    {:ok, before} = text(backend)
    assert {:ok, nil} = LocalVLLMBackend.restart_engine(backend)
    assert {:ok, ^before} = text(backend)
    assert LocalVLLMBackend.engine_args(backend) == {:ok, args}
    assert {:ok, nil} = LocalVLLMBackend.shutdown(backend)
    assert {:error, %Error{kind: :engine_dead}} = text(backend)
  end

  # What vLLM says where a compiled artifact of an earlier run is broken, and what Mellea's backend did.
  @broken_cache "vLLM failed to compile the model. The most likely reason for this is that a previous " <>
                  "compilation failed, leading to a corrupted compilation artifact. We recommend " <>
                  "trying to remove ~/.cache/vllm/torch_compile_cache and try again to see the real " <>
                  "issue. "

  test "a compile cache that is broken is removed, and the engine starts", %{instance: instance} do
    cache = Path.join(@cache_root, "torch_compile_cache")
    on_exit(fn -> File.rm_rf!(@cache_root) end)
    File.mkdir_p!(Path.join(cache, "abc"))
    File.write!(Path.join(cache, "abc/artifact"), "broken")
    Vllm.Test.fail_start(instance, {:engine_error, @broken_cache}, times: 1)

    {:ok, backend} = LocalVLLMBackend.new("fake", instance: instance)
    assert File.ls!(@cache_root) == []
    # Nothing was made smaller.
    {:ok, args} = LocalVLLMBackend.engine_args(backend)
    assert %{"max_num_seqs" => 16, "max_model_len" => 16_384} = args
    assert {:ok, nil} = LocalVLLMBackend.shutdown(backend)
  end

  test "a session for a model has an engine of its own, unless one is given", context do
    on = [instance: context.instance]
    {:ok, session} = Mellea.start_session("fake", on)
    {:ok, backend} = Mellea.backend(session)
    assert {:ok, nil} = LocalVLLMBackend.shutdown(backend)
    assert {:error, %Error{kind: :engine_dead}} = Mellea.chat(session, "x")

    {:ok, session} = Mellea.start_session("fake", [{:engine, context.engine} | on])
    {:ok, backend} = Mellea.backend(session)
    assert {:error, %Error{kind: :unsupported}} = LocalVLLMBackend.shutdown(backend)
    assert {:ok, %Message{}} = Mellea.chat(session, "x")
  end

  test "a session that does not begin leaves no engine behind", context do
    engines = fn -> Vllm.Test.engines(context.instance) end
    before = length(engines.())

    assert {:error, %Error{kind: :invalid}} =
             Mellea.start_session("fake", instance: context.instance, context: "no context")

    wait_until(fn -> length(engines.()) == before end)
  end

  defp text(backend) do
    with {:ok, {thunk, _context}} <-
           LocalVLLMBackend.generate_from_context(backend, "x", %ChatContext{}),
         do: ModelOutputThunk.avalue(thunk)
  end

  test "a formatter renders components of one's own", %{instance: instance, engine: engine} do
    {:ok, formatter} = TemplateFormatter.new("a/model", instance: instance)
    own = %Component{name: "Greeting", args: %{who: "Ada"}, template: "Hello {{ who }}!"}
    assert TemplateFormatter.print(formatter, own) == {:ok, "Hello Ada!"}

    assert {:ok, [%Message{role: "user", content: "Hello Ada!"}]} =
             TemplateFormatter.to_chat_messages(formatter, [own])

    {:ok, backend} = LocalVLLMBackend.new("a/model", engine: engine, formatter: formatter)
    assert {:ok, prompt} = LocalVLLMBackend.render_prompt(backend, own, %ChatContext{})
    assert prompt =~ "Hello Ada!"
  end

  test "the rules for options are Mellea's, whatever the map", %{instance: instance} do
    rule = fn method, arguments ->
      {:ok, made} =
        Vllm.Call.invoke_class("MelleaModelOption", method, 0, [instance, arguments, []])

      made
    end

    # Printed by a failure, and set by `mix test --seed`.
    for _ <- 1..200 do
      options = random_map()
      from_to = for {k, v} <- random_map(), is_binary(v), into: %{}, do: {k, v}

      assert {options, from_to, ModelOption.replace_keys(options, from_to)} ==
               {options, from_to, rule.("replace_keys", options: options, from_to: from_to)}

      assert ModelOption.remove_special_keys(options) ==
               rule.("remove_special_keys", options: options)

      over = Enum.random([nil, random_map()])

      assert {options, over, ModelOption.merge(options, over)} ==
               {options, over, rule.("merge", options: options, overwrite: over)}
    end
  end

  @keys ~w(a b c @@@a@@@ @@@b@@@ temperature extra_body)
  @bodies [%{}, %{"x" => 1}, %{"chat_template_kwargs" => %{"a" => 1}}] ++
            [%{"chat_template_kwargs" => %{"b" => 2}}, %{"chat_template_kwargs" => 5}] ++
            [%{"chat_template_kwargs" => nil, "x" => 2}]

  defp random_map do
    for key <- Enum.take_random(@keys, :rand.uniform(7)),
        into: %{},
        do: {key, Enum.random([nil, 1, false, 0.5, "" | @keys] ++ @bodies)}
  end

  test "each generation has its events", context do
    StandIns.telemetry()
    {:ok, _thunks} = LocalVLLMBackend.generate_from_raw(context.backend, ~w(a b c))

    assert {:error, %Error{kind: :invalid}} =
             LocalVLLMBackend.generate_from_raw(context.backend, [5])

    assert [
             {[:mellea, :generate, :start], _, %{num_actions: 3}, _},
             {[:mellea, :generate, :stop], _, %{num_actions: 3, result: :ok}, _},
             {[:mellea, :generate, :start], _, %{num_actions: 1}, _},
             {[:mellea, :generate, :stop], _, %{num_actions: 1, result: :invalid}, _}
           ] = StandIns.events([:mellea])

    session = session(context.backend)
    {:ok, _message} = Mellea.chat(session, "x")
    own = %Requirement{validate: fn _text -> true end}
    {:ok, _verdicts} = Mellea.validate(session, ["a", own])

    assert [
             {[:mellea, :generate, :start], _, %{method: "chat", num_actions: 1}, _},
             {[:mellea, :generate, :stop], _, %{method: "chat", result: :ok}, _},
             {[:mellea, :generate, :start], _, %{method: "validate", num_actions: 1}, _},
             {[:mellea, :generate, :stop], _, %{method: "validate", result: :ok}, _}
           ] = StandIns.events([:mellea])
  end

  test "a model that takes text only refuses images, wherever they are", context do
    message = %Message{content: "x", images: ["content of a file"]}
    session = session(context.backend)
    shown = [images: [%{path: "a.png"}]]

    for call <- [
          fn ->
            LocalVLLMBackend.generate_from_context(context.backend, message, %ChatContext{})
          end,
          fn -> LocalVLLMBackend.render_prompt(context.backend, message, %ChatContext{}) end,
          fn -> LocalVLLMBackend.generate_from_raw(context.backend, [message]) end,
          fn -> Mellea.chat(session, message) end,
          fn -> Mellea.chat(session, "x", shown) end,
          fn -> Mellea.instruct(session, "x", shown) end,
          fn -> Mellea.instruct(session, %Instruction{description: "x", images: ["y"]}) end
        ] do
      assert {:error, %Error{kind: :invalid, message: message}} = call.()
      assert message =~ "images"
    end

    assert Vllm.Test.requests(context.engine) == []
  end

  test "no value of an option ends the engine or the worker", context do
    # One whose context does not grow.
    session = session(context.backend, context: %SimpleContext{})
    backend = context.backend
    chat = %ChatContext{}

    calls = %{
      instruct: &Mellea.instruct(session, "x", &1),
      chat: &Mellea.chat(session, "x", &1),
      validate: &Mellea.validate(session, ["x"], &1),
      session: &Mellea.start_session(backend, &1),
      backend: &LocalVLLMBackend.new("x", [{:engine, context.engine} | &1]),
      formatter: &TemplateFormatter.new("x", [{:instance, context.instance} | &1]),
      generation: &LocalVLLMBackend.generate_from_context(backend, "x", chat, &1),
      raw: &LocalVLLMBackend.generate_from_raw(backend, ["x"], chat, &1)
    }

    # An option that several functions have is the same row of `Settings`.
    options =
      for {kind, call} <- calls,
          [_, key] <- Regex.scan(~r/^  \* `:(\w+)`/m, Settings.docs(kind)),
          key not in ["instance", "engine"],
          do: {kind, key, call}

    for {kind, key, call} <- Enum.uniq_by(options, &elem(&1, 1)), value <- Absurd.values() do
      result = call.([{String.to_existing_atom(key), value}])

      assert match?({:ok, _}, result) or match?({:error, %Error{}}, result),
             "#{kind} #{key}: #{inspect(value, limit: 5)} gave #{inspect(result, limit: 5)}"
    end

    for option <- ~w(system_prompt stream stream_timeout thinking max_new_tokens temperature)a,
        value <- Absurd.values() do
      result =
        LocalVLLMBackend.generate_from_context(backend, "x", chat,
          model_options: %{option => value}
        )

      assert match?({:ok, _}, result) or match?({:error, %Error{}}, result)
    end

    assert {:ok, nil} = Mellea.reset(session)
    assert {:ok, nil} = AsyncLLM.check_health(context.engine)
  end

  test "another context is refused in Mellea's words", context do
    for odd <- [%{}, nil, "x", []] do
      assert {:error, %Error{kind: :invalid, message: message}} =
               LocalVLLMBackend.generate_from_context(context.backend, "x", odd)

      assert message =~ "Does not yet support non-chat contexts."
    end
  end
end
