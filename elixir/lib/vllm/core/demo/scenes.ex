defmodule Vllm.Core.Demo.Scenes do
  @moduledoc false
  # The scenes of the demo. Each prints what it does and what came of it. A test runs them on the engines
  # of its lane.

  alias Vllm.{AsyncLLM, Error, LoRARequest, Tensor}
  alias Vllm.Core.Demo.Screen

  @texts %{
    chat: %{
      question: "Why is the sky blue?",
      four: ["Name 3 fruits.", "What is rain?", "What is bread?", "Who was Einstein?"],
      story: "Tell me a long story about the sea.",
      voice: "Tell me about the sea.",
      limits: %{answer: 96, column: 40, voice: 48}
    },
    scripted: %{
      question: "Hello",
      four: ["Hello", "count", "Hello", "count"],
      story: "count",
      voice: "Hello",
      limits: %{answer: 32, column: 20, voice: 8}
    }
  }

  @sentences [
    "A kitten plays with wool.",
    "The cat sleeps on the sofa.",
    "Interest rates rise again.",
    "The bank lends money."
  ]

  @schema %{
    type: "object",
    properties: %{
      name: %{type: "string", maxLength: 20},
      age: %{type: "integer", minimum: 0, maximum: 120},
      city: %{enum: ["London", "Paris", "Rome"]}
    },
    required: ["name", "age", "city"],
    additionalProperties: false
  }

  @prompt "Ada is 36 years old and lives in London. Who is she, as JSON?"

  @rows 8

  # Tokens of the story that is aborted, and after how many it is.
  @story_tokens 400
  @story_taken 24

  @type context :: %{kind: :chat | :scripted, chat: Vllm.Ref.t(), embed: Vllm.Ref.t() | nil}

  @doc "An answer, piece by piece."
  @spec answer(context()) :: :ok
  def answer(%{kind: kind} = context) do
    %{question: question, limits: limits} = @texts[kind]
    Screen.heading("An answer, token by token")
    Screen.code(~s|{:ok, stream} = Vllm.stream_chat(engine, "#{question}")|)
    Screen.code(~s|for delta <- stream, do: IO.write(delta.content)|)
    began = Screen.now()

    {tokens, first} =
      Screen.flow(ask(context, question, limits.answer), {0, nil}, fn {text, count},
                                                                      {sum, first} ->
        {text, {sum + count, first || if(text != "", do: Screen.since(began))}}
      end)

    Screen.remark(rate(tokens, began) <> ", the first after #{seconds(first)}")
  end

  @doc "Four answers at once."
  @spec side_by_side(context()) :: :ok
  def side_by_side(%{kind: kind} = context) do
    %{four: questions, limits: limits} = @texts[kind]
    Screen.heading("Four streams side by side, batched by the engine")
    scene = self()
    began = Screen.now()

    tasks =
      for {question, number} <- Enum.with_index(questions) do
        Task.async(fn ->
          for {text, count} <- ask(context, question, limits.column),
              do: send(scene, {:piece, number, text, count})

          send(scene, {:over, number})
        end)
      end

    {texts, tokens} = gather(Map.new(0..3, &{&1, ""}), 0, questions, 4, {0, nil})
    Task.await_many(tasks, :infinity)
    unless Screen.terminal?(), do: Screen.lines(columns(questions, texts))
    Screen.remark("#{rate(tokens, began)}, all four together")
  end

  defp gather(texts, tokens, _questions, 0, _drawn), do: {texts, tokens}

  defp gather(texts, tokens, questions, running, {drawn, at}) do
    receive do
      {:piece, number, text, count} ->
        texts = Map.update!(texts, number, &(&1 <> text))
        gather(texts, tokens + count, questions, running, draw(questions, texts, drawn, at))

      {:over, _number} ->
        gather(texts, tokens, questions, running - 1, draw(questions, texts, drawn, nil))
    end
  end

  # Not for every piece: a terminal need not show more than the eye takes.
  defp draw(questions, texts, drawn, at) do
    if Screen.terminal?() and (at == nil or Screen.now() - at > Screen.pause()),
      do: {Screen.redraw(columns(questions, texts), drawn), Screen.now()},
      else: {drawn, at}
  end

  defp columns(questions, texts),
    do: Screen.columns(Enum.zip(questions, Enum.map(0..3, &texts[&1])), @rows)

  @doc "A generation that is ended by its consumer."
  @spec abort(context()) :: :ok
  def abort(%{kind: kind, chat: engine} = context) do
    Screen.heading("A story of #{@story_tokens} tokens, stopped after #{@story_taken} items")
    Screen.code("Enum.take(stream, #{@story_taken})")
    pieces = ask(context, @texts[kind].story, @story_tokens)
    Screen.flow(Stream.take(pieces, @story_taken), nil, fn {text, _count}, acc -> {text, acc} end)
    requests = wait_until_idle(engine, 500)
    Screen.remark("The request is aborted: the engine has #{requests} requests.")
  end

  # The abort takes a millisecond or two after the enumeration has ended.
  defp wait_until_idle(engine, attempts) do
    case Vllm.call(engine, :get_num_unfinished_requests) do
      {:ok, count} when count > 0 and attempts > 0 ->
        Process.sleep(10)
        wait_until_idle(engine, attempts - 1)

      {:ok, count} ->
        count
    end
  end

  @doc "A value that fits a JSON schema."
  @spec json(context()) :: :ok
  def json(%{kind: :scripted}) do
    Screen.heading("JSON that fits a schema")
    Screen.say("Left out: the scripted model only says its script.")
  end

  def json(%{chat: engine}) do
    Screen.heading("JSON that fits a schema")

    Screen.say("Its fields: name, a string; age, from 0 to 120; city, London, Paris or Rome.")
    Screen.code(~s|question = "#{@prompt}"|)
    Screen.code("Vllm.json(engine, question, schema)")

    Screen.value(Vllm.json(engine, @prompt, @schema, max_tokens: 96, temperature: 0.0))
    Screen.remark("The engine excludes every token that would break the schema.")
  end

  @doc "The same question with and without an adapter, which the function makes."
  @spec voice(context(), (() -> {:ok, {String.t(), Path.t()}} | {:error, Error.t()})) :: :ok
  def voice(context, adapter) do
    Screen.heading("A LoRA adapter that changes the voice")

    case adapter.() do
      {:ok, {name, path}} -> both_voices(context, name, path)
      {:error, error} -> Screen.say("Left out: " <> error.message)
    end
  end

  defp both_voices(%{kind: kind} = context, name, path) do
    %{voice: question, limits: limits} = @texts[kind]

    Screen.code(
      ~s|lora = %Vllm.LoRARequest{lora_name: "#{name}", lora_int_id: 1, lora_path: path}|
    )

    Screen.code(~s|Vllm.chat(engine, "#{question}", lora_request: lora)|)
    lora = %LoRARequest{lora_name: name, lora_int_id: 1, lora_path: path}

    for {title, options} <- [{"without", []}, {name, [lora_request: lora]}] do
      Screen.lines(["#{title}:"])
      pieces = ask(context, question, limits.voice, options)
      Screen.flow(pieces, nil, fn {text, _count}, acc -> {text, acc} end)
    end

    Screen.remark(of_adapter(kind))
  end

  defp of_adapter(:chat),
    do: "Trained on this machine on two dozen answers. One engine serves both voices."

  defp of_adapter(:scripted),
    do: "The adapter of the scripted model repeats one word. One engine serves both voices."

  @doc "How similar sentences are."
  @spec similarity(context()) :: :ok
  def similarity(%{embed: nil}) do
    Screen.heading("Which sentences mean the same?")
    Screen.say("Left out: the model all-MiniLM-L6-v2 is not there.")
  end

  def similarity(%{embed: engine}) do
    Screen.heading("Which sentences mean the same?")
    Screen.code("{:ok, batch} = Vllm.embed(embedder, sentences)")
    {:ok, batch} = Vllm.embed(engine, @sentences)
    Screen.code("batch.embeddings  # #{inspect(batch.embeddings)}")
    rows = Tensor.rows(batch.embeddings)

    Screen.lines(
      for {{sentence, row}, number} <- Enum.with_index(Enum.zip(@sentences, rows), 1) do
        cells = for other <- rows, do: row |> Tensor.cosine(other) |> cell()
        "#{number}  #{String.pad_trailing(sentence, 30)} #{Enum.join(cells, "  ")}"
      end
    )

    Screen.remark("Cosines of the embeddings: 1 is the same, 0 has nothing to do with it.")
  end

  defp cell(number),
    do: number |> :erlang.float_to_binary(decimals: 2) |> String.pad_leading(5)

  @doc "An error, which harms nobody."
  @spec error(context()) :: :ok
  def error(%{chat: engine}) do
    Screen.heading("An error says whose fault it was")
    Screen.code(~s|Vllm.AsyncLLM.generate(engine, "Hello", [seed: 1.5], "request-1")|)
    Screen.value(AsyncLLM.generate(engine, "Hello", [seed: 1.5], "request-1"))
    Screen.code("Vllm.AsyncLLM.check_health(engine)")
    Screen.value(AsyncLLM.check_health(engine))
  end

  @doc "What runs, while it runs."
  @spec status(context()) :: :ok
  def status(%{kind: kind} = context) do
    Screen.heading("What runs")
    Screen.code("Vllm.status()")
    scene = self()

    # Each tells when it has begun, and ends with this process.
    tasks =
      for _number <- 1..2 do
        Task.async(fn ->
          context
          |> ask(@texts[kind].story, @story_tokens)
          |> Stream.with_index()
          |> Enum.each(fn {_piece, index} -> if index == 0, do: send(scene, :begun) end)
        end)
      end

    for _task <- tasks, do: receive(do: (:begun -> :ok))
    Screen.value(Vllm.status())
    for task <- tasks, do: Task.shutdown(task, :brutal_kill)
    :ok
  end

  ## Answers

  # Each piece of an answer with its number of tokens. The scripted model has no chat template, so it
  # continues the text.
  defp ask(context, question, max_tokens, options \\ [])

  defp ask(%{kind: :chat, chat: engine}, question, max_tokens, options) do
    options = [max_tokens: max_tokens, temperature: 0.0, return_token_ids: true] ++ options
    {:ok, stream} = Vllm.stream_chat(engine, question, options)
    Stream.map(stream, &{&1.content || "", length(&1.token_ids || [])})
  end

  defp ask(%{kind: :scripted, chat: engine}, question, max_tokens, options) do
    params = [max_tokens: max_tokens, temperature: 0.0, output_kind: :DELTA]
    id = "demo-#{System.unique_integer([:positive])}"
    {:ok, stream} = AsyncLLM.generate(engine, question, params, id, options)

    Stream.map(stream, fn %{outputs: [completion]} ->
      {completion.text, length(completion.token_ids)}
    end)
  end

  defp rate(tokens, began) do
    seconds = Screen.since(began)

    "#{tokens} tokens in #{seconds(seconds)}, #{Screen.decimal(tokens / max(seconds, 0.001))} tokens/s"
  end

  defp seconds(nil), do: "-"
  defp seconds(seconds), do: "#{:erlang.float_to_binary(seconds * 1.0, decimals: 2)} s"
end
