defmodule Vllm.Chat do
  @moduledoc """
  Chats with a model: messages, tools, reasoning and JSON, with vLLM's own chat templates and parsers.

      {:ok, answer} = Vllm.chat(engine, "What is the capital of France?", max_tokens: 20)
      hd(answer.choices).message.content

      {:ok, stream} = Vllm.stream_chat(engine, "Tell me a story")
      for delta <- stream, do: IO.write(delta.content || "")

  `chat/3`, `stream_chat/3` and `json/4` are also functions of `Vllm`.

  ## Messages

  A string is one message of the user. Otherwise a list, and each message is

    * a map or keyword list of OpenAI's fields, such as `%{role: "user", content: "Hello"}`
    * `{role, content}`, such as `{:system, "Be brief."}`
    * an answer of the model, a `Vllm.ChatCompletion` or a `Vllm.ChatMessage`, to go on with it

  The content of a `tool` message may be any value of JSON.

  The content of other messages is a text or a list of parts: `%{type: "text", text: "…"}`, and images, videos
  and audio where the model takes them:

      {:ok, answer} =
        Vllm.chat(engine, [
          user: [
            %{type: "image", path: "cat.png"},
            %{type: "image", data: File.read!("dog.jpg")},
            %{type: "text", text: "Which of the two is larger?"}
          ]
        ])

  See the guide *Images, videos and audio* for all that a part may have.

  ## Options

  All fields of OpenAI's request that vLLM's server takes, by their names: `temperature`, `max_tokens`,
  `n`, `seed`, `stop`, `logprobs`, `top_logprobs`, `tools`, `tool_choice`, `parallel_tool_calls`,
  `response_format`, `structured_outputs`, `chat_template`, `chat_template_kwargs`,
  `add_generation_prompt`, `continue_final_message`, `reasoning_effort`, `include_reasoning`,
  `cache_salt`, `priority` … A field that does not exist, or that has no effect here, is an error that
  names it. `model:` is the name of the model or of an adapter that was loaded with
  `Vllm.AsyncLLM.add_lora/2`; `lora_request:` names one that is loaded when it is needed.

  Beside them:

  #{Vllm.Core.Chat.Settings.docs()}

  A chat template is a program that runs in the worker. Do not take one from people you do not trust.

  ## Tools

  With `tools: [%Vllm.Tool{}]` the model may call functions. Which text of the model is a call depends
  on how it was trained, so name the parser: `tool_parser: "hermes"` for Qwen, `"llama3_json"` for
  Llama 3, and so on; an unknown name is an error that lists all. The arguments fit the schema of the
  tool.

  If every tool has a `run`, `chat/3` runs the functions, gives their results to the model and asks
  again, until the model calls none; `run_tools/3` does the same and returns the whole conversation.
  Otherwise the calls are in the answer, and the caller decides.
  """

  alias Vllm.{Call, ChatCompletion, Error, Stream, Tool}
  alias Vllm.Core.Chat.{Messages, Settings, ToolRuns}

  @typedoc "What to answer; see *Messages*."
  @type messages ::
          String.t() | [map() | keyword() | {atom(), term()} | ChatCompletion.t()]

  @doc """
  Answers a chat, and returns when the answer is whole. There is no time limit unless
  `rpc: [timeout: ms]` sets one.

  ## Errors

    * `:invalid` - a field is unknown or wrong, or the tools or the format cannot be used with this
      model; the message names it
    * `:unsupported` - the engine has no tokenizer, or a field has no effect here
    * those of `Vllm.AsyncLLM.generate/5`
  """
  @spec chat(Vllm.engine(), messages(), keyword()) ::
          {:ok, ChatCompletion.t()} | {:error, Error.t()}
  def chat(engine, messages, opts \\ []) do
    with {:ok, {completion, _messages}} <- run_tools(engine, messages, opts),
         do: {:ok, completion}
  end

  @doc """
  Answers a chat piece by piece: a `Vllm.Stream` of `Vllm.ChatDelta`. Takes the options of `chat/3`;
  `rpc: [stream_to: pid]` sends the pieces as messages. Tools are not run.
  """
  @spec stream_chat(Vllm.engine(), messages(), keyword()) ::
          {:ok, Stream.t()} | {:error, Error.t()}
  def stream_chat(engine, messages, opts \\ []) do
    with {:ok, settings, fields} <- Settings.split(opts),
         {:ok, messages} <- Messages.normalize(messages),
         do: ask(engine, "stream_chat", messages, fields, settings)
  end

  @doc """
  Answers with a value that fits a JSON schema, given as a map. Takes the options of `chat/3`.

      schema = %{type: "object", properties: %{age: %{type: "integer"}}, required: ["age"]}
      {:ok, %{"age" => 42}} = Vllm.json(engine, "How old is Ada, who was born 42 years ago?", schema)

  An answer that was cut off is the error `:invalid`, which says so: allow more `max_tokens`.
  """
  @spec json(Vllm.engine(), messages(), map(), keyword()) :: {:ok, term()} | {:error, Error.t()}
  def json(engine, messages, schema, opts \\ [])

  def json(engine, messages, schema, opts) when is_map(schema) do
    format = %{type: "json_schema", json_schema: %{name: "answer", schema: schema}}

    with {:ok, _settings, _fields} <- Settings.split(opts),
         {:ok, completion} <- chat(engine, messages, opts ++ [response_format: format]),
         do: parsed(hd(completion.choices))
  end

  def json(_engine, _messages, schema, _opts) do
    invalid("schema: wants a map, got: #{inspect(schema, limit: 5)}", "schema")
  end

  defp parsed(%{finish_reason: "stop", message: %{parsed: value}}) when value != nil,
    do: {:ok, value}

  defp parsed(%{finish_reason: "stop", message: %{content: content}}) do
    if is_binary(content) and String.trim(content) == "null",
      do: {:ok, nil},
      else: {:error, Error.new(:python, "the model's answer is no JSON: #{inspect(content)}")}
  end

  defp parsed(%{finish_reason: reason, message: %{content: content}}) do
    invalid(
      "the answer ended before its JSON did (finish reason #{inspect(reason)}) after " <>
        "#{String.length(content || "")} characters; allow more max_tokens",
      "max_tokens"
    )
  end

  @doc """
  Runs the tools that the model calls, until it calls none, and returns its last answer and the whole
  conversation, with the calls and their results.

  If the model still calls tools after `max_rounds`, the last answer has the calls that were not run.
  """
  @spec run_tools(Vllm.engine(), messages(), keyword()) ::
          {:ok, {ChatCompletion.t(), [map()]}} | {:error, Error.t()}
  def run_tools(engine, messages, opts \\ []) do
    with {:ok, settings, fields} <- Settings.split(opts),
         {:ok, messages} <- Messages.normalize(messages),
         do: rounds(engine, messages, fields, settings, settings.max_rounds)
  end

  defp rounds(engine, messages, fields, settings, left) do
    with {:ok, completion} <- ask(engine, "chat", messages, fields, settings),
         {:ok, [answer]} <- Messages.normalize([completion]) do
      messages = messages ++ [answer]
      calls = hd(completion.choices).message.tool_calls

      if calls != [] and left > 0 and runnable?(fields[:tools]) do
        results = ToolRuns.run(calls, fields[:tools], settings.tool_timeout)
        rounds(engine, messages ++ results, auto(fields), settings, left - 1)
      else
        {:ok, {completion, messages}}
      end
    end
  end

  defp runnable?(tools),
    do: is_list(tools) and Enum.all?(tools, &match?(%Tool{run: run} when run != nil, &1))

  # A choice that demands a call would demand one for ever.
  defp auto(fields), do: Keyword.put(fields, :tool_choice, "auto")

  defp ask(engine, method, messages, fields, settings) do
    request =
      fields
      |> Keyword.replace_lazy(:tools, &tools/1)
      |> Map.new()
      |> Map.put(:messages, messages)

    named = for name <- Settings.sent(), value = settings[name], do: {name, value}
    Call.invoke(engine, method, [request], [], named ++ [rpc: settings.rpc])
  end

  defp tools(tools) when is_list(tools), do: Messages.tools(tools)
  defp tools(other), do: other

  defp invalid(message, parameter),
    do: {:error, Error.new(:invalid, message, details: %{"parameter" => parameter})}
end
