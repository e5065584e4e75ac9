defmodule Vllm.Bridge.MelleaHooksTest do
  # Functions of the client that Mellea calls around a generation.
  use Vllm.MelleaCase

  alias Vllm.Mellea
  alias Vllm.Mellea.Backends.LocalVLLMBackend
  alias Vllm.Mellea.{ChatContext, Message, ModelOutputThunk, Result, SimpleContext}

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
end
