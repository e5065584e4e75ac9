defmodule Vllm.Bridge.TestKitChatsTest do
  # Chats on a fake engine: what a test scripts, what an application gets, and what reached the engine.
  use Vllm.TestKitCase, async: true

  alias Vllm.{ChatCompletion, ChatDelta, ChatUsage, LoRARequest, Test, Tool, ToolCall}

  @schema %{type: "object", properties: %{city: %{type: "string"}}, required: ["city"]}
  @weather %Tool{name: "get_weather", parameters: @schema}
  @tools [tools: [@weather], tool_parser: "hermes"]
  @call {"get_weather", %{city: "Rome"}}
  @written ~s({"city": "Rome"})

  defp message(engine, prompt, options \\ []) do
    {:ok, %ChatCompletion{choices: [choice]}} = Vllm.chat(engine, prompt, options)
    {choice.message, choice.finish_reason}
  end

  defp deltas(engine, prompt, options) do
    {:ok, stream} = Vllm.stream_chat(engine, prompt, options)
    Enum.to_list(stream)
  end

  describe "an answer" do
    test "is a text, which the last message selects", %{engine: engine} do
      Test.reply(engine, "Hello", "Hi there!")
      Test.reply(engine, ~r/bye/, ["So", " long."])

      assert {:ok, %ChatCompletion{} = answer} =
               Vllm.chat(engine, system: "Be brief.", user: "Hello")

      assert [%{index: 0, finish_reason: "stop", message: message}] = answer.choices
      assert %{role: "assistant", content: "Hi there!", reasoning: nil, tool_calls: []} = message
      assert answer.model == "fake"
      assert %ChatUsage{completion_tokens: 2, prompt_tokens: prompt} = answer.usage
      assert prompt > byte_size("Be brief.Hello")
      assert {%{content: "So long."}, "stop"} = message(engine, [answer, user: "Goodbye"])
      assert {%{content: " 256 257"}, "length"} = message(engine, "else", max_tokens: 2)
      assert {_sixteen, "length"} = message(engine, "else")
    end

    test "has reasoning, where a parser is named", %{engine: engine, worker: worker} do
      Test.reply(engine, :any, "Because.", reasoning: "Let me think.")
      named = [reasoning_parser: "qwen3"]
      assert {:ok, %{choices: [choice], usage: usage}} = Vllm.chat(engine, "Why?", named)
      assert %{content: "Because.", reasoning: "Let me think."} = choice.message
      assert usage.reasoning_tokens == 3

      assert {%{reasoning: nil, content: "Because."}, _} =
               message(engine, "Why?", named ++ [include_reasoning: false])

      assert {%{reasoning: nil, content: content}, _} = message(engine, "Why?")
      assert content == "<think>Let me think.</think>Because."

      reasoner = Test.engine!(worker, reasoning_parser: "qwen3")
      Test.reply(reasoner, :any, "Because.", reasoning: ["Hm", "m"])
      assert {%{reasoning: "Hmm", content: "Because."}, "stop"} = message(reasoner, "Why?")
    end

    test "calls tools, several and after a text", %{engine: engine} do
      Test.reply(engine, "one", [], tool_calls: [@call])
      Test.reply(engine, "two", "Let me see.", tool_calls: [@call, {:get_time, ~s({"zone")}])

      assert {%{content: nil, tool_calls: [call]}, "tool_calls"} = message(engine, "one", @tools)
      assert %ToolCall{name: "get_weather", arguments: %{"city" => "Rome"}} = call
      assert call.arguments_json == @written
      assert {%{content: "Let me see.", tool_calls: calls}, _} = message(engine, "two", @tools)
      assert [%{name: "get_weather"}, %{name: "get_time", arguments: nil} = broken] = calls
      assert broken.arguments_json == ~s({"zone")
      assert length(Enum.uniq_by([call | calls], & &1.id)) == 3

      assert {%{tool_calls: [_one]}, _} =
               message(engine, "two", @tools ++ [parallel_tool_calls: false])

      assert {%{tool_calls: [], content: text}, "stop"} = message(engine, "one")
      assert text =~ ~s(<tool_call>{"name": "get_weather", "arguments": #{@written}}</tool_call>)
    end

    test "is a value for json/4", %{engine: engine} do
      for value <- [%{"age" => 42, "name" => "Zoë"}, [1, 2.5, nil], "x", nil, true] do
        Test.reply(engine, "How old?", {:json, value})
        assert Vllm.json(engine, "How old?", %{type: "object"}) == {:ok, value}
      end

      Test.reply(engine, "How old?", "about 42")
      assert {:error, %Error{kind: :python} = error} = Vllm.json(engine, "How old?", %{})
      assert error.message =~ "is no JSON"
      Test.reply(engine, "How old?", {:json, %{age: 42}})

      assert {:error, %Error{kind: :invalid} = error} =
               Vllm.json(engine, "How old?", %{}, max_tokens: 1)

      assert error.message =~ "allow more max_tokens"
    end

    test "is cut off", %{engine: engine} do
      Test.reply(engine, "a", "one two three", finish_reason: "length")
      assert {%{content: "one two three"}, "length"} = message(engine, "a")
      Test.reply(engine, "b", [], tool_calls: [@call])
      assert {%{tool_calls: [call]}, _} = message(engine, "b", @tools ++ [max_tokens: 2])
      assert %{arguments: nil, arguments_json: ~s({"city":)} = call
    end

    test "has as many choices as were asked for", %{engine: engine} do
      Test.reply(engine, :any, "Yes it is.")
      assert {:ok, answer} = Vllm.chat(engine, "Is it?", n: 3)

      assert for(choice <- answer.choices, do: {choice.index, choice.message.content}) ==
               for(index <- 0..2, do: {index, "Yes it is."})

      assert answer.usage.completion_tokens == 9
      deltas = deltas(engine, "Is it?", n: 2)
      assert [%{usage: %{completion_tokens: 6}}] = Enum.filter(deltas, & &1.usage)
      assert List.last(deltas).usage
      texts = Enum.group_by(deltas, & &1.index, & &1.content)
      assert %{0 => text, 1 => text} = Map.new(texts, fn {n, them} -> {n, Enum.join(them)} end)
      assert text == "Yes it is."
    end

    test "has log probabilities, token ids and the prompt, where they are asked for", %{
      engine: engine
    } do
      Test.reply(engine, "a", ["x", "y"], logprobs: [-0.25, -1.5])

      options = [
        logprobs: true,
        top_logprobs: 1,
        return_token_ids: true,
        return_prompt_text: true
      ]

      assert {:ok, %{choices: [choice]} = answer} = Vllm.chat(engine, "a", options)
      assert for(it <- choice.logprobs, do: {it.token, it.logprob}) == [{"x", -0.25}, {"y", -1.5}]
      assert [_, _] = choice.token_ids
      assert answer.prompt == "a"
      assert length(answer.prompt_token_ids) == answer.usage.prompt_tokens
    end
  end

  describe "a stream" do
    test "has each kind piece by piece, and the usage at its end", %{engine: engine} do
      Test.reply(engine, :any, ["Let", " me"], reasoning: ["Hm", "m"], tool_calls: [@call])
      deltas = deltas(engine, "Go", @tools ++ [reasoning_parser: "qwen3"])
      assert [%ChatDelta{role: "assistant"} | others] = deltas
      assert Enum.all?(others, &(&1.role == nil))
      assert for(%{reasoning: text} when text != nil <- deltas, do: text) == ["Hm", "m"]
      assert for(%{content: text} when text != nil <- deltas, do: text) == ["Let", " me"]
      calls = Enum.flat_map(deltas, & &1.tool_calls)
      assert [%{index: 0, id: "chatcmpl-tool-" <> _} = begun | rest] = calls
      # As hermes of vLLM's: the name comes without arguments.
      assert {begun.name, begun.arguments_json} == {"get_weather", nil}

      assert for(it <- rest, do: {it.index, it.id, it.name, it.arguments_json}) ==
               [{0, nil, nil, ~s({"city":)}, {0, nil, nil, ~s( "Rome"})}]

      assert %{finish_reason: "tool_calls", usage: %ChatUsage{} = usage} = List.last(deltas)
      assert %{completion_tokens: 7, reasoning_tokens: 2} = usage
      assert Enum.count(deltas, & &1.usage) == 1
    end

    test "waits, fails and hangs where the script says so", %{engine: engine} do
      Test.reply(engine, "hold", ["x", "y"], hold: 1)
      {:ok, stream} = Vllm.stream_chat(engine, "hold", rpc: [stream_to: self()])
      assert_receive {:vllm, ^stream, {:item, %ChatDelta{content: "x"}}}
      assert Test.release(engine) == 1
      assert_receive {:vllm, ^stream, {:item, %ChatDelta{content: "y", finish_reason: "stop"}}}
      assert_receive {:vllm, ^stream, :done}

      failing = [
        reasoning: "Hm",
        tool_calls: [@call],
        then: {:fail, {:engine_error, "no memory"}}
      ]

      Test.reply(engine, "fail", "x", failing)
      {:ok, stream} = Vllm.stream_chat(engine, "fail", rpc: [stream_to: self()])
      assert_receive {:vllm, ^stream, {:item, %ChatDelta{content: "<think>Hm</think>"}}}
      assert_receive {:vllm, ^stream, {:item, %ChatDelta{content: ~s( "Rome"}}</tool_call>)}}}
      assert_receive {:vllm, ^stream, {:error, %Error{kind: :engine_error}}}

      Test.reply(engine, "hang", "x", then: :hang)
      {:ok, stream} = Vllm.stream_chat(engine, "hang")
      assert [%ChatDelta{content: "x"}] = Enum.take(stream, 1)
      chat = Test.assert_chatted(engine, prompt: "hang", method: :stream_chat)
      Test.assert_aborted(engine, chat.request_id)
      Test.assert_live(engine, 0)
    end
  end

  test "faults are those of generate", %{engine: engine} do
    Test.refuse_admission(engine, prompt: "full")
    assert {:error, %Error{kind: :overloaded, retryable: true}} = Vllm.chat(engine, "full")
    assert {:error, %Error{kind: :overloaded}} = Vllm.stream_chat(engine, "full")
    Test.fail_after(engine, 1, {:engine_error, "no memory"}, prompt: "fail")
    assert {:error, %Error{kind: :engine_error}} = Vllm.chat(engine, "fail")
    Test.hang_after(engine, 1, prompt: "hang")
    assert {:error, %Error{kind: :timeout}} = Vllm.chat(engine, "hang", rpc: [timeout: 100])
    Test.assert_live(engine, 0)
    Test.slow(engine, 1, prompt: "slow")
    assert {%{content: " 256 257"}, "length"} = message(engine, "slow", max_tokens: 2)
    Test.fail(engine, :chat, {:invalid, "not now"}, times: 1)
    assert {:error, %Error{kind: :invalid}} = Vllm.chat(engine, "a")
    Test.hang(engine, :stream_chat)
    assert {:error, %Error{kind: :timeout}} = Vllm.stream_chat(engine, "a", rpc: [timeout: 50])
    Test.die_after(engine, 1, prompt: "poison")
    assert {:error, %Error{kind: :engine_dead}} = Vllm.chat(engine, "poison")
  end

  test "a conversation that is longer than the window is refused", %{worker: worker} do
    engine = Test.engine!(worker, max_model_len: 64)
    history = List.duplicate({:user, "Hello"}, 10)
    assert {:error, %Error{kind: :invalid} = error} = Vllm.chat(engine, history)
    assert error.message =~ "longer than the maximum"
  end

  test "run_tools/3 runs the functions over the scripted rounds", %{engine: engine} do
    test = self()
    run = fn arguments -> send(test, {:ran, arguments}) && %{sky: "sunny"} end
    tools = Keyword.put(@tools, :tools, [%Tool{@weather | run: run}])

    Test.reply(engine, "Weather?", "Let me see.", tool_calls: [@call])
    Test.reply(engine, ~r/sunny/, "Take a hat.")
    assert {:ok, {answer, messages}} = Vllm.Chat.run_tools(engine, "Weather?", tools)
    assert hd(answer.choices).message.content == "Take a hat."
    assert_received {:ran, %{"city" => "Rome"}}

    assert [_question, %{tool_calls: [%{id: id}]}, %{role: "tool", tool_call_id: id}, _] =
             messages

    assert [first, second] = Test.chats(engine)
    assert [%{"role" => "user", "content" => "Weather?"}] = first.messages

    assert [_, %{"content" => "Let me see."}, %{"content" => %{"sky" => "sunny"}}] =
             second.messages

    assert second.fields["tool_choice"] == "auto"
    assert ^second = Test.assert_chatted(engine, prompt: ~r/sunny/)
    assert second.prompt == ~s({"sky": "sunny"})
  end

  describe "what reached the engine" do
    test "is as the application sent it", %{engine: engine} do
      {:ok, _answer} =
        Vllm.chat(
          engine,
          [{:system, "Be brief."}, %{role: "user", content: "Hi"}],
          [temperature: 0.0, stop: ["."], seed: 7] ++ @tools
        )

      assert [%Test.Chat{method: :chat, options: options} = chat] = Test.chats(engine)
      assert options == %{"tool_parser" => "hermes"}

      assert [%{"role" => "system", "content" => "Be brief."}, %{"content" => "Hi"}] =
               chat.messages

      assert %{"temperature" => 0.0, "stop" => ["."], "seed" => 7, "tools" => [_]} = chat.fields
      assert map_size(chat.fields) == 4

      options = [
        prompt: ~r/^H/,
        fields: [tools: [@weather], seed: 7],
        options: [tool_parser: "hermes"]
      ]

      assert ^chat = Test.assert_chatted(engine, options)
      request = Test.assert_generated(engine, prompt: "Hi", params: [temperature: 0.0, seed: 7])
      assert request.request_id == chat.request_id
      assert request.params.stop == ["."]

      flunks(~r/no request matched/, fn ->
        Test.assert_chatted(engine, prompt: "Hello", timeout: 10)
      end)
    end

    test "has the parts of its messages, also images", %{engine: engine} do
      Test.reply(engine, ~r/^<image>.*larger/s, "The dog.")
      image = %{type: "image", data: <<1, 2, 255>>}
      parts = [image, %{type: "text", text: "Which is larger?"}]
      assert {%{content: "The dog."}, "stop"} = message(engine, user: parts)
      chat = Test.assert_chatted(engine, prompt: ~r/larger/)
      assert [%{"content" => [%{"type" => "image", "data" => data}, _text]}] = chat.messages
      assert data == <<1, 2, 255>>
    end

    test "has the schema of json/4", %{engine: engine} do
      Test.reply(engine, :any, {:json, %{city: "Rome"}})
      assert {:ok, %{"city" => "Rome"}} = Vllm.json(engine, "Where?", @schema)
      chat = Test.assert_chatted(engine)

      assert %{"json_schema" => %{"schema" => %{"required" => ["city"]}}} =
               chat.fields["response_format"]
    end

    test "has its adapter, given or by the name of a loaded one", %{worker: worker} do
      engine = Test.engine!(worker, enable_lora: true, model: "m")
      sql = %LoRARequest{lora_name: "sql", lora_int_id: 1, lora_path: "/a"}
      assert {:ok, %{model: "m"}} = Vllm.chat(engine, "a", lora_request: sql)
      assert %{options: %{"lora_request" => ^sql}} = Test.assert_generated(engine, prompt: "a")

      assert {:error, %Error{kind: :invalid} = error} = Vllm.chat(engine, "b", model: "sql")
      assert error.message =~ "there is no 'sql'; this engine has m"
      {:ok, true} = AsyncLLM.add_lora(engine, sql)
      assert {:ok, %{model: "sql"}} = Vllm.chat(engine, "b", model: "sql")
      assert %{options: %{"lora_request" => ^sql}} = Test.assert_generated(engine, prompt: "b")
      assert {:ok, %{model: "m"}} = Vllm.chat(engine, "c", model: "m")
      refute Test.assert_generated(engine, prompt: "c").options["lora_request"]

      assert {:error, %Error{kind: :invalid}} =
               Vllm.chat(engine, "d", model: "sql", lora_request: sql)
    end
  end

  test "what is wrong is refused as by vLLM", %{engine: engine} do
    for {messages, options, kind, parameter} <- [
          {"a", [temprature: 1], :invalid, "temprature"},
          {"a", [temperature: "warm"], :invalid, "temperature"},
          {"a", [temperature: -1.0], :invalid, "temperature"},
          {"a", [n: 0], :invalid, "n"},
          {"a", [n: 1_000_000_000], :invalid, "n"},
          {"a", [stream: true], :unsupported, "stream"},
          {"a", [tools: []], :invalid, "tools"},
          {"a", [tools: [%{function: %{}}], tool_parser: "x"], :invalid, "tools"},
          {"a", [tools: [@weather]], :invalid, "tool_parser"},
          {"a", [tool_choice: "auto"], :invalid, "tool_choice"},
          {"a", @tools ++ [tool_choice: "never"], :invalid, "tool_choice"},
          {"a", @tools ++ [tool_choice: %{type: "function", function: %{name: "f"}}], :invalid,
           "tool_choice"},
          {"a", [top_logprobs: 2], :invalid, "top_logprobs"},
          {"a", [response_format: %{type: "xml"}], :invalid, "response_format"},
          {"a", [response_format: %{type: "json_schema"}], :invalid, "response_format"},
          {"a", [continue_final_message: true], :invalid, "continue_final_message"},
          {[], [], :invalid, "messages"},
          {[%{content: "a"}], [], :invalid, "messages"},
          {[%{role: "user", content: 1}], [], :invalid, "messages"}
        ],
        ask <- [&Vllm.chat/3, &Vllm.stream_chat/3] do
      assert {:error, %Error{kind: ^kind} = error} = ask.(engine, messages, options)
      assert {options, error.details["parameter"] =~ ~r/^#{parameter}/} == {options, true}
    end

    assert Test.requests(engine) == []
    Test.assert_live(engine, 0)
  end

  test "wrong scripts raise", %{engine: engine} do
    for {answer, options, said} <- [
          {"x", [tool_calls: ["get_weather"]], ~r/an element of :tool_calls is/},
          {"x", [tool_calls: [{"get_weather", 1}]], ~r/an element of :tool_calls is/},
          {"x", [tool_calls: [{"get_weather", %{city: self()}}]], ~r/a value of JSON is/},
          {"x", [reasoning: 1], ~r/reasoning/},
          {{:json, {1, 2}}, [], ~r/a value of JSON is/},
          {{:text, "x"}, [], ~r/an answer/}
        ] do
      assert_raise ArgumentError, said, fn -> Test.reply(engine, "a", answer, options) end
    end
  end

  test "a worker's replies answer chats too", context do
    replies = [{"Weather?", "", tool_calls: [@call]}, {"Age?", {:json, %{age: 42}}}]
    worker = Test.start_worker!(context, replies: replies)
    engine = Test.engine!(worker)

    assert {%{tool_calls: [%{arguments: %{"city" => "Rome"}}]}, _} =
             message(engine, "Weather?", @tools)

    assert Vllm.json(engine, "Age?", %{}) == {:ok, %{"age" => 42}}
  end
end
