defmodule Mix.Tasks.Vllm.Demo do
  @shortdoc "Streams tokens from a real vLLM engine to this terminal"

  @moduledoc """
  Demonstrates the bridge with real vLLM and a small model, which it makes first:

      mix vllm.demo

  It starts a worker, loads an engine, asks it a question and streams the answer token by token, shows what
  successful and failing calls return, aborts a generation, and stops everything.

  The model is `Vllm.SmallModel`'s, which is downloaded once. Where it cannot be, for lack of a network,
  the demo says so and goes on with the scripted model of `Vllm.TinyModel`.
  """

  use Mix.Task

  alias Vllm.{AsyncLLM, Error, SamplingParams, SmallModel, TinyModel}

  @instance Vllm.Demo

  # Of each model, `dtype: "float32"` because the words of the scripted one are exact only there; what the
  # demo asks; and the milliseconds between two tokens of the answer, so that a person can follow.
  @models %{
    chat: %{
      title: "SmolLM2-135M-Instruct",
      dtype: "auto",
      question: "Why is the sky blue?",
      story: "Tell me a story about the sea.",
      pause: 0
    },
    scripted: %{
      title: "a tiny Llama whose words are known in advance",
      dtype: "float32",
      question: "Hello",
      story: "count",
      pause: 60
    }
  }

  @impl true
  def run(_argv) do
    Mix.Task.run("app.start")
    # Hides what vLLM logs while it loads.
    Logger.configure(level: :error)
    began = System.monotonic_time(:millisecond)
    unless System.get_env("VLLM_CPU_KVCACHE_SPACE"), do: System.put_env(kv_cache())

    say("Making a model, unless it exists")
    {kind, path} = make_model()
    model = Map.fetch!(@models, kind)
    say("Starting a worker")
    {:ok, instance} = in_time(fn -> Vllm.start_link(name: @instance, log: :debug) end)

    say("Loading an engine: real vLLM with #{model.title}")

    {:ok, engine} =
      in_time(fn ->
        AsyncLLM.from_engine_args(@instance,
          model: path,
          dtype: model.dtype,
          enforce_eager: true,
          max_model_len: 512
        )
      end)

    stream_tokens(engine, kind, model)
    show_results(engine)
    show_errors(engine)
    abort_generation(engine, kind, model)

    say("Stopping")
    in_time(fn -> AsyncLLM.shutdown(engine) end)
    Supervisor.stop(instance)
    say("Done in #{seconds_since(began)} s")
  end

  defp kv_cache, do: %{"VLLM_CPU_KVCACHE_SPACE" => "1"}

  defp make_model do
    case SmallModel.path(:chat, progress: &IO.puts("  " <> &1)) do
      {:ok, path} ->
        IO.puts("  #{path}")
        {:chat, path}

      {:error, error} ->
        error.message |> indent() |> IO.puts()

        IO.puts(
          "  The demo goes on with a scripted model, which answers in words known in advance."
        )

        {:ok, path} = TinyModel.make(:scripted)
        {:scripted, path}
    end
  end

  defp stream_tokens(engine, kind, %{question: question, pause: pause}) do
    say("An answer, token by token")
    params = %SamplingParams{max_tokens: 96, temperature: 0.0, output_kind: :DELTA}
    {:ok, stream} = AsyncLLM.generate(engine, prompt(engine, kind, question), params, "demo-1")
    IO.puts("  > #{question}")
    IO.write("  ")
    began = System.monotonic_time(:millisecond)

    tokens =
      for output <- stream, completion <- output.outputs do
        completion.text |> String.replace("\n", "\n  ") |> IO.write()
        Process.sleep(pause)
        length(completion.token_ids)
      end

    IO.puts("\n  (#{Enum.sum(tokens)} tokens in #{seconds_since(began)} s)")
  end

  # What the model is given: a question in its chat template. The scripted model continues any text.
  defp prompt(_engine, :scripted, text), do: text

  defp prompt(engine, :chat, question) do
    {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine)
    messages = [%{role: "user", content: question}]
    options = [tokenize: false, add_generation_prompt: true]
    {:ok, prompt} = Vllm.call(tokenizer, :apply_chat_template, [messages], options)
    prompt
  end

  defp show_results(engine) do
    say("What calls return")
    show("Vllm.AsyncLLM.is_running(engine)", AsyncLLM.is_running(engine))
    show("Vllm.AsyncLLM.check_health(engine)", AsyncLLM.check_health(engine))
    show("Vllm.AsyncLLM.get_tokenizer(engine)", {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine))
    show(~s|Vllm.call(tokenizer, :encode, ["Hello"])|, Vllm.call(tokenizer, :encode, ["Hello"]))
  end

  defp show_errors(engine) do
    say("What calls return when they fail")
    wrong_type = AsyncLLM.generate(engine, "Hello", [seed: 1.5], "demo-2")
    show(~s|Vllm.AsyncLLM.generate(engine, "Hello", [seed: 1.5], "demo-2")|, wrong_type)
    out_of_range = AsyncLLM.generate(engine, "Hello", [max_tokens: 0], "demo-3")
    show(~s|Vllm.AsyncLLM.generate(engine, "Hello", [max_tokens: 0], "demo-3")|, out_of_range)
    show("Vllm.call(engine, :no_such_method)", Vllm.call(engine, :no_such_method))
  end

  defp abort_generation(engine, kind, %{story: story}) do
    say("A generation that would run for 400 tokens, halted after five items")
    params = %SamplingParams{max_tokens: 400, temperature: 0.0, ignore_eos: true}
    {:ok, stream} = AsyncLLM.generate(engine, prompt(engine, kind, story), params, "demo-4")
    last = stream |> Enum.take(5) |> List.last()
    IO.puts("  > #{story}")
    IO.puts("  #{String.trim(hd(last.outputs).text)} …")

    show(
      "Vllm.call(engine, :get_num_unfinished_requests)",
      wait_until_idle(engine, 100)
    )
  end

  # The abort takes a millisecond or two after the enumeration was halted.
  defp wait_until_idle(engine, attempts) do
    case Vllm.call(engine, :get_num_unfinished_requests) do
      {:ok, count} when count > 0 and attempts > 0 ->
        Process.sleep(10)
        wait_until_idle(engine, attempts - 1)

      result ->
        result
    end
  end

  ## Output

  defp say(words), do: IO.puts([IO.ANSI.format([:bright, "\n#{words}"])])

  defp show(call, result) do
    IO.puts("  iex> #{call}")
    result |> shorten() |> inspect(pretty: true, width: 96) |> indent() |> IO.puts()
  end

  # Python's traceback would fill the screen.
  defp shorten({:error, %Error{traceback: "" <> traceback} = error}),
    do: {:error, %{error | traceback: String.slice(traceback, 0, 33) <> " …"}}

  defp shorten(result), do: result

  defp indent(text), do: text |> String.split("\n") |> Enum.map_join("\n", &("  " <> &1))

  # Prints a dot every second while the function runs.
  defp in_time(function) do
    began = System.monotonic_time(:millisecond)
    {:ok, timer} = :timer.apply_interval(1_000, IO, :write, ["."])
    IO.write("  ")

    try do
      function.()
    after
      :timer.cancel(timer)
      IO.puts(" #{seconds_since(began)} s")
    end
  end

  defp seconds_since(began) do
    ((System.monotonic_time(:millisecond) - began) / 1000)
    |> :erlang.float_to_binary(decimals: 1)
  end
end
