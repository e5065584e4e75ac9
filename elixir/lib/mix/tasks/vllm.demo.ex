defmodule Mix.Tasks.Vllm.Demo do
  @shortdoc "Streams tokens from a real vLLM engine to this terminal"

  @moduledoc """
  Demonstrates the bridge with real vLLM and a tiny model, which it makes first:

      mix vllm.demo

  It starts a worker, loads an engine, streams a completion token by token, shows what successful and
  failing calls return, aborts a generation, and stops everything.
  """

  use Mix.Task

  alias Vllm.{AsyncLLM, Error, SamplingParams, TinyModel}

  @instance Vllm.Demo

  # Milliseconds between two tokens, so that a person can follow. The model generates 500 per second.
  @reading_pause 60

  @impl true
  def run(_argv) do
    Mix.Task.run("app.start")
    # Hides what vLLM logs while it loads.
    Logger.configure(level: :error)
    began = System.monotonic_time(:millisecond)
    unless System.get_env("VLLM_CPU_KVCACHE_SPACE"), do: System.put_env(kv_cache())

    {:ok, model} = TinyModel.make(:scripted)
    say("Starting a worker")
    {:ok, instance} = in_time(fn -> Vllm.start_link(name: @instance, log: :debug) end)

    say("Loading an engine: real vLLM with a tiny Llama model")

    {:ok, engine} =
      in_time(fn ->
        AsyncLLM.from_engine_args(@instance,
          model: model,
          dtype: "float32",
          enforce_eager: true,
          max_model_len: 512
        )
      end)

    stream_tokens(engine)
    show_results(engine)
    show_errors(engine)
    abort_generation(engine)

    say("Stopping")
    in_time(fn -> AsyncLLM.shutdown(engine) end)
    Supervisor.stop(instance)
    say("Done in #{seconds_since(began)} s")
  end

  defp kv_cache, do: %{"VLLM_CPU_KVCACHE_SPACE" => "1"}

  defp stream_tokens(engine) do
    say("A completion, token by token")
    params = %SamplingParams{max_tokens: 32, temperature: 0.0, output_kind: :DELTA}
    {:ok, stream} = AsyncLLM.generate(engine, "Hello", params, "demo-1")
    IO.write("  Hello")

    for output <- stream, completion <- output.outputs do
      IO.write(completion.text)
      Process.sleep(@reading_pause)
    end

    IO.puts("")
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

  defp abort_generation(engine) do
    say("A generation that would run for 400 tokens, halted after five items")
    params = %SamplingParams{max_tokens: 400, temperature: 0.0, ignore_eos: true}
    {:ok, stream} = AsyncLLM.generate(engine, "count", params, "demo-4")
    last = stream |> Enum.take(5) |> List.last()
    IO.puts("  count" <> hd(last.outputs).text <> " …")

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
