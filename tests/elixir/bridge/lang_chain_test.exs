defmodule Vllm.Bridge.LangChainTest do
  # A chat model of LangChain's on a fake engine, compiled against stand-ins for LangChain.
  use Vllm.TestKitCase, async: false

  alias Vllm.{StandIns, Test}

  @model MyApp.ChatModelOfTest
  @text LangChain.Message.ContentPart
  @call LangChain.Message.ToolCall

  setup_all do
    StandIns.library("lang_chain")
    StandIns.application_module("defmodule #{inspect(@model)} do\n  use Vllm.LangChain\nend")
  end

  defp model(engine, fields \\ %{}),
    do: @model |> apply(:new!, [Map.put(fields, :engine, engine)])

  defp call(model, messages, functions \\ []),
    do: apply(@model, :call, [model, messages, functions])

  # As the stand-ins are no dependency of the tests, their structs are made at run time.
  defp message(role, content, fields \\ []),
    do: struct!(LangChain.Message, [role: role, content: content] ++ fields)

  defp part(type, content, options \\ []),
    do: struct!(@text, type: type, content: content, options: options)

  defp listener(name) do
    test = self()
    %{callbacks: [%{name => fn value -> send(test, {name, value}) end}]}
  end

  test "the module has the callbacks of a chat model" do
    for {name, arity} <- apply(LangChain.ChatModels.ChatModel, :behaviour_info, [:callbacks]),
        do: assert(function_exported?(@model, name, arity), "#{name}/#{arity}")

    assert apply(@model, :provider, []) == "vllm"
  end

  describe "call/3" do
    test "answers a text, with the tokens and the callback", %{engine: engine} do
      Test.reply(engine, "Hello", "Hi there!")
      model = model(engine, listener(:on_llm_new_message))

      assert {:ok, [%{__struct__: LangChain.Message} = answer]} = call(model, "Hello")
      assert %{role: :assistant, status: :complete, tool_calls: []} = answer
      assert [%{__struct__: @text, type: :text, content: "Hi there!"}] = answer.content
      assert %{input: input, output: 2, cumulative: true} = answer.metadata.usage
      assert answer.metadata.usage.raw["total_tokens"] == input + 2
      assert_received {:on_llm_new_message, ^answer}
    end

    test "gives the engine the messages of every role", %{engine: engine} do
      Test.reply(engine, :any, "ok")
      asked = struct!(@call, call_id: "c1", name: "weather", arguments: %{"city" => "Rome"})

      told = [
        tool_call_id: "c1",
        name: "weather",
        content: [part(:text, "sun"), part(:text, "wind")]
      ]

      messages = [
        message(:system, [part(:text, "Be brief.")]),
        message(:user, [part(:text, "What is this?"), part(:image, "aGk=", media: :jpg)],
          name: "ann"
        ),
        message(:assistant, [part(:thinking, "Hm."), part(:text, "Let me see.")],
          tool_calls: [asked]
        ),
        message(:tool, nil, tool_results: [struct!(LangChain.Message.ToolResult, told)]),
        message(:user, "And now?")
      ]

      assert {:ok, [_answer]} = call(model(engine), messages)
      assert [%{messages: [system, user, assistant, tool, last]}] = Test.chats(engine)
      assert system == %{"role" => "system", "content" => "Be brief."}
      assert %{"role" => "user", "name" => "ann", "content" => [text, image]} = user
      assert text == %{"type" => "text", "text" => "What is this?"}
      assert image["image_url"] == %{"url" => "data:image/jpeg;base64,aGk="}

      assert %{"role" => "assistant", "content" => "Let me see.", "reasoning" => "Hm."} =
               assistant

      assert [%{"id" => "c1", "type" => "function", "function" => function}] =
               assistant["tool_calls"]

      assert function == %{"name" => "weather", "arguments" => ~s({"city":"Rome"})}
      assert tool == %{"role" => "tool", "tool_call_id" => "c1", "content" => "sun\nwind"}
      assert last == %{"role" => "user", "content" => "And now?"}
    end

    test "gives the engine the functions, and returns the calls", %{engine: engine} do
      Test.reply(engine, :any, [], tool_calls: [{"weather", %{city: "Rome"}}])
      city = struct!(LangChain.FunctionParam, name: "city", type: :string, required: true)

      functions = [
        struct!(LangChain.Function, name: "weather", description: "Of a city", parameters: [city]),
        struct!(LangChain.Function,
          name: "time",
          parameters_schema: %{type: "object"},
          strict: true
        )
      ]

      model = model(engine, %{options: [tool_parser: "hermes"]})

      assert {:ok, [%{content: [], status: :complete, tool_calls: [asked]}]} =
               call(model, "x", functions)

      assert %{__struct__: @call, status: :complete, name: "weather"} = asked
      assert asked.arguments == %{"city" => "Rome"}

      assert [%{fields: %{"tools" => [%{"function" => first}, %{"function" => second}]}}] =
               Test.chats(engine)

      assert %{"name" => "weather", "description" => "Of a city", "strict" => false} = first
      assert first["parameters"]["properties"] == %{"city" => %{"type" => "string"}}
      assert %{"name" => "time", "parameters" => %{"type" => "object"}, "strict" => true} = second
    end

    test "returns arguments that are no JSON as LangChain's error", %{engine: engine} do
      Test.reply(engine, :any, [], tool_calls: [{"weather", ~s({"city")}])
      function = struct!(LangChain.Function, name: "weather")
      model = model(engine, %{options: [tool_parser: "hermes"]})

      assert {:error, %{__struct__: LangChain.LangChainError, type: type}} =
               call(model, "x", [function])

      assert type == "changeset"
    end

    test "has the status of an answer that was cut off, and all choices", %{engine: engine} do
      Test.reply(engine, :any, "one two three", finish_reason: "length")
      assert {:ok, [first, second]} = call(model(engine, %{options: [n: 2]}), "x")
      assert %{status: :length, index: 0} = first
      assert %{status: :length, index: 1} = second
    end

    test "finds an engine by its name", %{test: name} do
      start_supervised!({Vllm.Test, name: name, engines: [llama: [model: "fake"]]})
      {:ok, engine} = Vllm.engine(name, :llama)
      Test.reply(engine, :any, "found")
      assert {:ok, [%{content: [%{content: "found"}]}]} = call(model({name, :llama}), "x")
    end
  end

  describe "call/3 with stream: true" do
    test "returns the deltas, each of which went to the callback", %{engine: engine} do
      Test.reply(engine, "Hello", ["Hi", " there", "!"])
      model = model(engine, Map.put(listener(:on_llm_new_delta), :stream, true))

      assert {:ok, deltas} = call(model, "Hello")
      assert Enum.map_join(deltas, & &1.content) == "Hi there!"

      assert Enum.all?(
               deltas,
               &match?(%{__struct__: LangChain.MessageDelta, role: :assistant, index: 0}, &1)
             )

      assert [%{status: :complete} | before] = Enum.reverse(deltas)
      assert Enum.all?(before, &(&1.status == :incomplete))

      assert [%{input: _, output: 3, cumulative: true}] =
               for(%{metadata: %{usage: it}} <- deltas, do: it)

      assert heard(:on_llm_new_delta) == deltas
    end

    test "puts reasoning before the text", %{engine: engine} do
      Test.reply(engine, :any, "Because.", reasoning: ["Hm", "m"])
      model = model(engine, %{stream: true, options: [reasoning_parser: "qwen3"]})
      assert {:ok, deltas} = call(model, "Why?")
      thinking = for %{content: %{type: :thinking, content: text}, index: 0} <- deltas, do: text
      assert Enum.join(thinking) == "Hmm"

      assert Enum.join(for %{content: text, index: 1} when is_binary(text) <- deltas, do: text) ==
               "Because."
    end

    test "has the parts of a call, with its number", %{engine: engine} do
      Test.reply(engine, :any, [], tool_calls: [{"weather", %{city: "Rome"}}])
      model = model(engine, %{stream: true, options: [tool_parser: "hermes"]})
      assert {:ok, deltas} = call(model, "x", [struct!(LangChain.Function, name: "weather")])
      calls = for %{tool_calls: [_ | _] = calls} <- deltas, call <- calls, do: call
      assert Enum.all?(calls, &match?(%{__struct__: @call, status: :incomplete, index: 0}, &1))
      assert [%{name: "weather", call_id: id} | _] = calls
      assert is_binary(id)
      assert Enum.map_join(calls, & &1.arguments) == ~s({"city": "Rome"})
    end

    test "returns the error that ends the stream, and what a callback raises", %{engine: engine} do
      Test.fail_after(engine, 2, :engine_error)
      assert {:error, %{type: "engine_error"}} = call(model(engine, %{stream: true}), "x")
      Test.reset(engine)
      failing = %{stream: true, callbacks: [%{on_llm_new_delta: fn _deltas -> raise "no" end}]}
      assert {:error, %{message: message}} = call(model(engine, failing), "x")
      assert message =~ "no"
    end

    defp heard(name) do
      receive do
        {^name, values} -> values ++ heard(name)
      after
        0 -> []
      end
    end
  end

  describe "errors" do
    test "have the kind as their type, and the error itself", %{engine: engine} do
      Test.refuse(engine, :overloaded)
      assert {:error, error} = call(model(engine), "x")
      assert %{__struct__: LangChain.LangChainError, type: "overloaded"} = error
      assert %Error{kind: :overloaded} = error.original
      assert apply(@model, :retry_on_fallback?, [error])
    end

    test "of the caller are not tried elsewhere", %{engine: engine} do
      for {model, messages} <- [
            {model(engine, %{options: [temprature: 1]}), "x"},
            {model(:nobody), "x"},
            {model(engine), [message(:user, [part(:file, "aGk=")])]},
            {model(engine), 42}
          ] do
        assert {:error, %{type: "invalid"} = error} = call(model, messages)
        refute apply(@model, :retry_on_fallback?, [error])
      end
    end

    test "of new/1 name the field", %{engine: engine} do
      for {fields, word} <- [
            {%{}, "engine"},
            {%{engine: engine, stream: "yes"}, "stream"},
            {%{engine: engine, temperature: 1}, "temperature"}
          ] do
        assert {:error, %{type: "invalid", message: message}} = apply(@model, :new, [fields])
        assert message =~ word
        assert_raise LangChain.LangChainError, fn -> apply(@model, :new!, [fields]) end
      end
    end
  end

  describe "serialize_config/1 and restore_from_map/1" do
    test "store all but the callbacks" do
      fields = %{engine: {MyApp.Vllm, :llama}, stream: true, options: [max_tokens: 5]}
      model = apply(@model, :new!, [fields])
      map = apply(@model, :serialize_config, [model])

      assert %{"module" => module, "version" => 1, "engine" => ["Elixir.MyApp.Vllm", "llama"]} =
               map

      assert module == Atom.to_string(@model)
      assert apply(@model, :restore_from_map, [map]) == {:ok, model}
    end

    test "say what cannot be restored", %{engine: engine} do
      stored = apply(@model, :serialize_config, [model(engine)])
      assert {:error, text} = apply(@model, :restore_from_map, [stored])
      assert text =~ "reference"
      unknown = %{stored | "engine" => ["Elixir.MyApp.Vllm", "nobody_knows_this_engine"]}
      assert {:error, text} = apply(@model, :restore_from_map, [unknown])
      assert text =~ "not known"
      assert {:error, text} = apply(@model, :restore_from_map, [%{"version" => 99}])
      assert text =~ "version 1"
    end
  end
end
