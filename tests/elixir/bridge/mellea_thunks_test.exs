defmodule Vllm.Bridge.MelleaThunksTest do
  # Texts of Mellea that are being made: who holds them, their streams, logs, tool calls and names.
  use Vllm.MelleaCase

  alias Vllm.{SamplingParams, Tool}
  alias Vllm.Mellea.Backends.LocalVLLMBackend
  alias Vllm.Mellea.{ChatContext, GenerateLog, Message, ModelOutputThunk, SimpleContext, ToolCall}

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
end
