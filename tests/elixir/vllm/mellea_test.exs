defmodule Vllm.RealEngine.MelleaTest do
  # Mellea with a model that answers in words: what its requirements, its repair and its formats make of
  # real texts.
  use Vllm.VllmEngine, engine: :chat

  alias Vllm.{Mellea, Tool}
  alias Vllm.Mellea.Backends.LocalVLLMBackend

  alias Vllm.Mellea.{
    ChatContext,
    Message,
    ModelOutputThunk,
    Requirement,
    Result,
    SimpleContext,
    ToolCall
  }

  setup %{engine: engine} do
    on_exit(fn -> wait_until(fn -> unfinished(engine) == 0 end) end)
    options = %{max_new_tokens: 60, temperature: 0.0}
    model = "smollm2-135m-instruct"
    {:ok, backend} = LocalVLLMBackend.new(model, engine: engine, model_options: options)
    {:ok, session} = Mellea.start_session(backend, context: %ChatContext{})
    %{backend: backend, session: session}
  end

  # Upstream: test_vllm.py::test_instruct (U-76)
  test "a text is made again until a function is content", %{session: session} do
    test = self()
    count = :counters.new(1, [])

    second = %Requirement{
      description: "Be the second text.",
      validate: fn text ->
        :counters.add(count, 1, 1)
        send(test, {:text, text})
        {:counters.get(count, 1) == 2, "it was the first"}
      end
    }

    assert {:ok, %Result{success: true, samples: [_first, _second]} = result} =
             Mellea.instruct(session, "Write one sentence about {{topic}}.",
               user_variables: %{topic: "the sea"},
               requirements: [second],
               strategy: :repair_template,
               loop_budget: 4
             )

    assert_received {:text, _first}
    assert_received {:text, value}
    assert result.value == value
  end

  # Upstream: test_vllm.py::test_multiturn (U-70)
  test "a chat is told what was said before", %{session: session, backend: backend} do
    assert {:ok, %Message{content: first}} = Mellea.chat(session, "My name is Ada.")
    assert {:ok, %Message{content: second}} = Mellea.chat(session, "What is my name?")
    {:ok, messages} = Mellea.context(session)

    assert Enum.map(messages, & &1.content) == [
             "My name is Ada.",
             first,
             "What is my name?",
             second
           ]

    {:ok, prompt} =
      LocalVLLMBackend.render_prompt(backend, "And now?", %ChatContext{turns: messages})

    assert prompt =~ "My name is Ada."
    assert prompt =~ second
    assert String.ends_with?(prompt, "<|im_start|>assistant\n")
  end

  # Upstream: test_vllm.py::test_format (U-77)
  test "a nested format holds, and its pattern", %{session: session} do
    address = %{type: "string", pattern: "^[a-z]{1,12}@example\\.com$"}

    schema = %{
      type: "object",
      properties: %{
        name: %{type: "string", maxLength: 12},
        email: %{type: "object", properties: %{to: address}, required: ["to"]}
      },
      required: ["name", "email"],
      additionalProperties: false
    }

    assert {:ok, %Result{value: text}} =
             Mellea.instruct(session, "Write an address of Ada's as JSON.",
               format: schema,
               strategy: nil,
               model_options: %{max_new_tokens: 300}
             )

    assert {:ok, %{"email" => %{"to" => to}}} =
             Mellea.parse_json(text, instance: session.instance)

    assert to =~ ~r/^[a-z]{1,12}@example\.com$/
  end

  # Upstream: test_vllm_tools.py::test_tool (U-68)
  test "a call that the model writes runs the function once", %{backend: backend} do
    test = self()

    tool = %Tool{
      name: "get_temperature",
      description: "The temperature at a place",
      parameters: %{type: "object", properties: %{location: %{type: "string"}}},
      run: fn %{"location" => place} ->
        send(test, {:asked, place})
        21
      end
    }

    call = ~s({"name": "get_temperature", "arguments": {"location": "Boston"}})

    {:ok, {thunk, _context}} =
      LocalVLLMBackend.generate_from_context(backend, "How warm is Boston?", %SimpleContext{},
        tools: [tool],
        tool_calls: true,
        model_options: %{structured_outputs: %{choice: [call]}}
      )

    assert {:ok, %{"get_temperature" => call}} = ModelOutputThunk.tool_calls(thunk, [tool])
    assert ToolCall.call(call) == {:ok, 21}
    assert_received {:asked, "Boston"}
    refute_received {:asked, _place}
  end

  test "the model judges", %{session: session} do
    assert {:ok, [verdict]} =
             Mellea.validate(session, ["The text is about the sea."],
               output: "The sea is deep and blue.",
               model_options: %{structured_outputs: %{choice: ["yes", "no"]}}
             )

    assert is_boolean(verdict.result)
  end

  # M-05
  test "a temperature of zero says the same twice", %{backend: backend} do
    texts =
      for _ <- 1..2 do
        {:ok, {thunk, _context}} =
          LocalVLLMBackend.generate_from_context(backend, "Hello", %ChatContext{},
            model_options: %{temperature: 0.0}
          )

        {:ok, text} = ModelOutputThunk.avalue(thunk)
        text
      end

    assert [text, text] = texts
  end

  # M-17 of the requirements
  test "a model that is not there is told after every attempt, and leaves nothing", context do
    {:ok, before} = Vllm.status(context.engine.instance)

    assert {:error, %Error{kind: :engine_error} = error} =
             LocalVLLMBackend.new("/nowhere/model", instance: context.engine.instance)

    assert error.message =~ "not even with max_num_seqs 1"
    assert error.message =~ "/nowhere/model"
    assert {:ok, %{"engines" => engines}} = Vllm.status(context.engine.instance)
    assert length(engines) == length(before["engines"])
  end
end
