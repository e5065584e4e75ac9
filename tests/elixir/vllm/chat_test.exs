defmodule Vllm.RealEngine.ChatTest do
  # Chats on a real engine. What vLLM's own chat server answers on the same engine, in process, is
  # what is expected; the model has random weights, so only a format makes it say something sensible.
  use Vllm.VllmEngine, engine: :random

  alias Vllm.{ChatCompletion, ChatDelta, ChatUsage, Tool, ToolCall}

  @greedy [temperature: 0.0, max_tokens: 24]
  @hello [%{role: "user", content: "Hello"}]

  @schema %{
    type: "object",
    properties: %{city: %{type: "string", enum: ["Rome", "Paris"]}},
    required: ["city"],
    additionalProperties: false
  }
  @function %{name: "get_weather", description: "The weather", parameters: @schema, strict: true}
  @tools [%{type: "function", function: @function}]
  @loose [%{type: "function", function: %{@function | strict: false}}]
  @named %{type: "function", function: %{name: "get_weather"}}
  @call ~s(<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>)

  setup %{engine: engine} do
    on_exit(fn -> wait_until(fn -> unfinished(engine) == 0 end) end)
  end

  # Name, fields, parsers.
  @requests [
    {"one message", @greedy, []},
    {"several choices", [n: 3, temperature: 1.0, seed: 7, max_tokens: 8], []},
    {"logprobs", @greedy ++ [logprobs: true, top_logprobs: 3], []},
    {"a stop string", @greedy ++ [stop: ["3"]], []},
    {"token ids", @greedy ++ [return_token_ids: true], []},
    {"no limit of tokens", [temperature: 0.0, stop_token_ids: Enum.to_list(100..160)], []},
    {"a choice", @greedy ++ [structured_outputs: %{choice: ["yes", "no"]}], []},
    {"a JSON schema",
     [
       temperature: 0.0,
       max_tokens: 64,
       response_format: %{type: "json_schema", json_schema: %{name: "x", schema: @schema}}
     ], []},
    {"a demanded function",
     [temperature: 0.0, max_tokens: 120, tools: @tools, tool_choice: @named],
     [tool_parser: "hermes"]},
    {"any function", [temperature: 0.0, max_tokens: 60, tools: @tools, tool_choice: "required"],
     [tool_parser: "hermes"]},
    {"a function that the model chose",
     [
       temperature: 0.0,
       max_tokens: 120,
       tools: @loose,
       tool_choice: "auto",
       structured_outputs: %{choice: ["Well. " <> @call]}
     ], [tool_parser: "hermes"]},
    {"two functions at once",
     [
       temperature: 0.0,
       max_tokens: 180,
       tools: @loose,
       tool_choice: "auto",
       structured_outputs: %{choice: [@call <> "\n" <> @call]}
     ], [tool_parser: "hermes"]},
    {"one of two functions",
     [
       temperature: 0.0,
       max_tokens: 180,
       tools: @loose,
       tool_choice: "auto",
       parallel_tool_calls: false,
       structured_outputs: %{choice: [@call <> "\n" <> @call]}
     ], [tool_parser: "hermes"]},
    {"a template of its own",
     @greedy ++ [chat_template: "{% for m in messages %}{{ m.content }}!{% endfor %}"], []},
    {"an open last message", @greedy ++ [add_generation_prompt: false], []}
  ]

  describe "vLLM's chat server says the same to" do
    for {name, fields, parsers} <- @requests do
      @request {fields, parsers}

      test name, %{engine: engine} do
        {fields, parsers} = @request
        {:ok, [expected]} = in_process(engine, fields, parsers)
        assert {:ok, answer} = Vllm.chat(engine, @hello, fields ++ parsers)
        assert whole(answer) == whole(expected)
      end

      test "#{name}, piece by piece", %{engine: engine} do
        {fields, parsers} = @request
        stream = [stream: true, stream_options: %{include_usage: true}]
        {:ok, expected} = in_process(engine, fields ++ stream, parsers)
        assert {:ok, stream} = Vllm.stream_chat(engine, @hello, fields ++ parsers)
        assert joined(Enum.to_list(stream)) == joined(expected)
      end
    end
  end

  defp in_process(engine, fields, parsers) do
    request = fields |> Map.new() |> Map.put(:messages, @hello)
    Vllm.call(engine, :chat_in_process, [request], parsers)
  end

  # What both have of an answer, in one form. The ids of tool calls are random.
  defp whole(%ChatCompletion{} = answer) do
    for choice <- answer.choices do
      calls = for c <- choice.message.tool_calls, do: {c.name, c.arguments_json}
      message = {choice.message.role, choice.message.content, choice.message.reasoning, calls}

      {message, choice.finish_reason, choice.stop_reason, choice.token_ids,
       logprobs(choice.logprobs)}
    end
    |> then(&{&1, usage(answer.usage)})
  end

  defp whole(%{"choices" => choices, "usage" => usage}) do
    for choice <- choices do
      message = choice["message"]

      calls =
        for %{"function" => f} <- message["tool_calls"] || [], do: {f["name"], f["arguments"]}

      message = {message["role"], message["content"], message["reasoning"], calls}

      {message, choice["finish_reason"], choice["stop_reason"], choice["token_ids"],
       logprobs(choice["logprobs"])}
    end
    |> then(&{&1, usage(usage)})
  end

  # The prefix cache may know the prompt the second time.
  defp usage(%ChatUsage{} = usage), do: {usage.prompt_tokens, usage.completion_tokens}
  defp usage(usage), do: {usage["prompt_tokens"], usage["completion_tokens"]}

  defp logprobs(nil), do: nil
  defp logprobs(%{"content" => entries}), do: logprobs(entries)

  defp logprobs(entries) when is_list(entries) do
    for entry <- entries do
      {token(entry), for(other <- top(entry), do: token(other))}
    end
  end

  defp token(%Vllm.TokenLogprob{} = entry), do: {entry.token, rounded(entry.logprob)}
  defp token(entry), do: {entry["token"], rounded(entry["logprob"])}
  defp top(%Vllm.TokenLogprob{top: top}), do: top
  defp top(entry), do: entry["top_logprobs"]
  defp rounded(number), do: Float.round(number, 4)

  # All that the pieces bring, joined by choice.
  defp joined(pieces) do
    pieces
    |> Enum.flat_map(&parts/1)
    |> Enum.group_by(&elem(&1, 0), &elem(&1, 1))
    |> Map.new(fn
      {{choice, name}, values} when name in [:content, :reasoning, :arguments] ->
        {{choice, name}, Enum.join(values)}

      {key, values} ->
        {key, values}
    end)
  end

  defp parts(%ChatDelta{} = delta) do
    fields = [
      role: delta.role,
      content: delta.content,
      reasoning: delta.reasoning,
      finish: delta.finish_reason,
      stop: delta.stop_reason
    ]

    own = for {name, value} <- fields, value not in [nil, ""], do: {{delta.index, name}, value}

    calls =
      for call <- delta.tool_calls,
          {name, value} <- [name: call.name, arguments: call.arguments_json],
          value != nil,
          do: {{{delta.index, call.index}, name}, value}

    ids = for id <- delta.token_ids || [], do: {{delta.index, :ids}, id}
    last = if delta.usage, do: [{{:all, :usage}, usage(delta.usage)}], else: []
    own ++ calls ++ ids ++ last
  end

  defp parts(%{"choices" => [], "usage" => usage}), do: [{{:all, :usage}, usage(usage)}]

  defp parts(%{"choices" => choices}) do
    Enum.flat_map(choices, fn choice ->
      delta = choice["delta"]

      fields = [
        role: delta["role"],
        content: delta["content"],
        reasoning: delta["reasoning"],
        finish: choice["finish_reason"],
        stop: choice["stop_reason"]
      ]

      index = choice["index"]
      own = for {name, value} <- fields, value not in [nil, ""], do: {{index, name}, value}

      calls =
        for call <- delta["tool_calls"] || [],
            {name, value} <- [
              name: call["function"]["name"],
              arguments: call["function"]["arguments"]
            ],
            value != nil,
            do: {{{index, call["index"]}, name}, value}

      ids = for id <- choice["token_ids"] || [], do: {{index, :ids}, id}
      own ++ calls ++ ids
    end)
  end

  ## JSON

  test "json/4 answers with a value that fits the schema", %{engine: engine} do
    assert {:ok, %{"city" => city}} = Vllm.json(engine, "Where?", @schema, temperature: 0.0)
    assert city in ["Rome", "Paris"]
  end

  test "json/4 says that an answer was cut off", %{engine: engine} do
    assert {:error, %Error{kind: :invalid} = error} =
             Vllm.json(engine, "Where?", @schema, max_tokens: 2)

    assert error.message =~ "allow more max_tokens"
  end

  ## Tools

  @tag :since_vllm_0_32
  test "functions are run, and their results are in the conversation", %{engine: engine} do
    parent = self()

    run = fn %{"city" => city} ->
      send(parent, {:ran, city})
      %{weather: "sunny", city: city}
    end

    weather = %Tool{name: "get_weather", parameters: @schema, run: run}

    options = [
      temperature: 0.0,
      max_tokens: 120,
      tools: [weather],
      tool_choice: @named,
      tool_parser: "hermes"
    ]

    # The model calls the function because it has to, and then may say what it likes.
    assert {:ok, {last, conversation}} =
             Vllm.Chat.run_tools(engine, @hello, options ++ [max_rounds: 1])

    assert_received {:ran, city}
    assert [%{content: "Hello"}, %{tool_calls: [call]}, result, _last] = conversation
    assert %{role: "tool", content: %{weather: "sunny", city: ^city}} = result
    assert result.tool_call_id == call.id
    assert %ChatCompletion{} = last
  end

  test "without a function the calls are the caller's", %{engine: engine} do
    tool = %Tool{name: "get_weather", parameters: @schema}
    options = [temperature: 0.0, tools: [tool], tool_choice: @named, tool_parser: "hermes"]

    assert {:ok, answer} = Vllm.chat(engine, @hello, options)
    assert %{tool_calls: [%ToolCall{arguments: %{"city" => _}}]} = hd(answer.choices).message
  end

  ## What is refused

  test "wrong requests are refused, and the engine does not get them", %{engine: engine} do
    for {messages, fields, said} <- [
          {@hello, [temprature: 1.0], "temprature: there is no such field"},
          {@hello, [stream: true], "call stream_chat"},
          {@hello, [temperature: -1.0], "temperature"},
          {@hello, [top_p: 7.0], "top_p"},
          {@hello, [seed: "x"], "seed"},
          {@hello, [n: 0], "n "},
          {@hello, [tools: @tools], "tool_parser"},
          {@hello, [tools: @tools, tool_choice: "required"], "tool_parser"},
          {@hello, [tool_parser: "no such"], "tool_parser: there is no"},
          {@hello, [reasoning_parser: "no such"], "reasoning_parser: there is no"},
          {@hello, [model: "no such"], "model: there is no"},
          {@hello, [max_tokens: 100_000], "max"},
          {@hello, [response_format: %{type: "json_schema", json_schema: %{}}], "name"},
          {@hello, [chat_template: "{{ nothing("], "template"},
          {[%{role: "user", content: String.duplicate("x", 5000)}], [], "maximum context length"},
          {[%{content: "Hello"}], [], "role"},
          {[], [], "essage"}
        ] do
      assert {:error, %Error{kind: kind} = error} = Vllm.chat(engine, messages, fields)
      assert kind in [:invalid, :unsupported], inspect(error)
      assert error.message =~ said
      assert {:error, %Error{message: message}} = Vllm.stream_chat(engine, messages, fields)
      assert message == error.message
    end
  end

  @tag :since_vllm_0_32
  test "every parser that vLLM knows answers, or is refused as not for this model", %{
    engine: engine
  } do
    for key <- [:tool_parser, :reasoning_parser], name <- parsers(engine, key) do
      case Vllm.chat(engine, @hello, [{key, name}, temperature: 0.0, max_tokens: 4]) do
        {:ok, %ChatCompletion{}} -> :ok
        {:error, %Error{kind: :invalid, message: message}} -> assert message =~ "parser"
      end
    end
  end

  # The error that refuses an unknown one lists them.
  defp parsers(engine, key) do
    {:error, error} = Vllm.chat(engine, @hello, [{key, "?"}])
    [_all, names] = Regex.run(~r/There are (.*)/, error.message)
    names = String.split(names, ", ")
    assert length(names) > 20
    names
  end

  ## Streams

  test "deltas are sent to a process", %{engine: engine} do
    options = @greedy ++ [rpc: [stream_to: self()]]
    {:ok, stream} = Vllm.stream_chat(engine, @hello, options)
    assert_receive {:vllm, ^stream, {:item, %ChatDelta{role: "assistant"}}}, 60_000
    assert_receive {:vllm, ^stream, :done}, 60_000
  end

  test "a stream that is left is aborted", %{engine: engine} do
    {:ok, stream} = Vllm.stream_chat(engine, @hello, max_tokens: 400, ignore_eos: true)
    assert [%ChatDelta{}] = Enum.take(stream, 1)
    wait_until(fn -> unfinished(engine) == 0 end)
  end

  # The engine waits, so that the request is not over before it is looked for.
  test "a chat whose caller is killed is aborted", %{engine: engine} do
    {:ok, nil} = AsyncLLM.pause_generation(engine, mode: "keep")
    caller = spawn(fn -> Vllm.chat(engine, @hello, max_tokens: 400, ignore_eos: true) end)
    wait_until(fn -> unfinished(engine) == 1 end)
    Process.exit(caller, :kill)
    wait_until(fn -> unfinished(engine) == 0 end)
    {:ok, nil} = AsyncLLM.resume_generation(engine)
  end

  test "a chat that takes too long ends with :timeout", %{engine: engine} do
    options = [max_tokens: 400, ignore_eos: true, rpc: [timeout: 1]]
    assert {:error, %Error{kind: :timeout}} = Vllm.chat(engine, @hello, options)
  end
end
