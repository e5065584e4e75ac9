defmodule Vllm.Bridge.MelleaSessionsTest do
  # Sessions of Mellea on the scripted engine: instruct with validators that are functions here, chat,
  # validate, how calls end, and their events. Real models are in the lane `vllm`.
  use Vllm.MelleaCase

  alias Vllm.{Mellea, StandIns}
  alias Vllm.Mellea.Backends.LocalVLLMBackend

  alias Vllm.Mellea.{
    ChatContext,
    Instruction,
    Message,
    ModelOutputThunk,
    Requirement,
    Result,
    ValidationResult
  }

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
end
