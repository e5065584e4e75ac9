# One worker with one engine that is measured from Elixir and in its own process (measured_engine.py).

Code.require_file("bench.exs", __DIR__)

defmodule Bench.Measured do
  alias Vllm.AsyncLLM

  @name Bench.Measured.Vllm
  @class "tests.bench.measured_engine:MeasuredAsyncLLM"

  @doc """
  The arguments of the engines that are compared: a tiny model, whose engine is as fast as one can be,
  so that the bridge's share is as large as it can be.
  """
  def arguments(more \\ []) do
    Keyword.merge(
      [dtype: "float32", enforce_eager: true, max_model_len: 512, max_num_seqs: 256] ++
        [disable_log_stats: true],
      more
    )
  end

  @doc "The model that was named on the command line, or a tiny one of random weights."
  def model(%{rest: [model | _]}), do: model

  def model(_opts) do
    {:ok, model} = Vllm.TinyModel.make(:random)
    model
  end

  @doc "Runs `fun` with an engine, and ends everything. Returns what `fun` returned."
  def with_engine(opts, more \\ [], env \\ [], fun) do
    env = [{"PYTHONPATH", File.cwd!()} | env]
    {:ok, instance} = Vllm.start_link(name: @name, engine_class: @class, env: env)

    # It is stopped at the end, which is not to end this script before.
    Process.unlink(instance)

    try do
      {:ok, engine} = AsyncLLM.from_engine_args(@name, [model: model(opts)] ++ arguments(more))
      result = fun.(engine)
      {:ok, nil} = AsyncLLM.shutdown(engine)
      result
    after
      Supervisor.stop(instance, :shutdown, 60_000)
    end
  end

  @doc "The process group of the worker."
  def worker do
    {:ok, %{"pid" => pid}} = Vllm.status(@name)
    pid
  end

  @doc "Greedy, `tokens` long whatever the model says."
  def params(tokens, more \\ []) do
    struct!(
      %Vllm.SamplingParams{
        max_tokens: tokens,
        temperature: 0.0,
        ignore_eos: true,
        output_kind: :DELTA
      },
      more
    )
  end

  ## Many requests at once

  @doc """
  Tokens per second of `streams` requests at once, `times` over: `:in_process`; from `:elixir`; or from
  there for the `:text` or the `:token_ids` alone.
  """
  def speed(way, engine, prompt, params, streams, times \\ 1),
    do: way |> speed_and_outputs(engine, prompt, params, streams, times) |> elem(0)

  @doc "The same, with the number of outputs."
  def speed_and_outputs(way, engine, prompt, params, streams, times) do
    all = for _ <- 1..times, do: generate(way, engine, prompt, params, streams)
    [tokens, outputs, seconds] = Enum.zip_with(all, & &1)
    expected = times * streams * params.max_tokens * (params.n || 1)
    # Of text there is no telling.
    if way != :text, do: ^expected = Enum.sum(tokens)
    {expected / Enum.sum(seconds), Enum.sum(outputs)}
  end

  defp generate(:in_process, engine, prompt, params, streams) do
    {:ok, {tokens, outputs, seconds}} =
      Vllm.call(engine, :generate_in_process, [prompt, params, streams], rpc: [timeout: :infinity])

    [tokens, outputs, seconds]
  end

  defp generate(way, engine, prompt, params, streams) do
    {microseconds, counts} =
      :timer.tc(fn ->
        1..streams
        |> Enum.map(fn n ->
          Task.async(fn -> count(way, engine, prompt, params, "elixir-#{n}") end)
        end)
        |> Task.await_many(:infinity)
      end)

    {tokens, outputs} = Enum.unzip(counts)
    [Enum.sum(tokens), Enum.sum(outputs), microseconds / 1.0e6]
  end

  # The tokens of a stream, and its outputs.
  defp count(:elixir, engine, prompt, params, id) do
    {:ok, stream} = AsyncLLM.generate(engine, prompt, params, id)
    add = if params.output_kind == :DELTA, do: &+/2, else: fn now, _before -> now end
    Enum.reduce(stream, {0, 0}, fn output, {sum, n} -> {add.(tokens(output), sum), n + 1} end)
  end

  defp count(items, engine, prompt, params, id) do
    {:ok, stream} = AsyncLLM.generate(engine, prompt, params, id, rpc: [items: items])
    size = if items == :text, do: &byte_size/1, else: &length/1
    Enum.reduce(stream, {0, 0}, fn item, {sum, n} -> {size.(item) + sum, n + 1} end)
  end

  defp tokens(output), do: output.outputs |> Enum.map(&length(&1.token_ids)) |> Enum.sum()

  @doc "The times of each of `streams` requests at once, and the tokens per second of all."
  def at_once(way, engine, prompt, params, streams) do
    {microseconds, times} =
      :timer.tc(fn ->
        1..streams
        |> Enum.map(fn _ -> Task.async(fn -> times(way, engine, prompt, params) end) end)
        |> Task.await_many(:infinity)
      end)

    {times, streams * params.max_tokens * 1_000_000 / microseconds}
  end

  ## One request

  @doc "Of one request: milliseconds to its first output, and from one to the next after it."
  def times(:in_process, engine, prompt, params) do
    {:ok, {first, last, outputs}} = Vllm.call(engine, :time_in_process, [prompt, params])
    times(first, last, outputs)
  end

  def times(:elixir, engine, prompt, params) do
    began = now()
    {:ok, stream} = AsyncLLM.generate(engine, prompt, params, "elixir")

    {first, last, outputs} =
      Enum.reduce(stream, {nil, nil, 0}, fn _output, {first, _last, outputs} ->
        at = now()
        {first || at, at, outputs + 1}
      end)

    times((first - began) / 1.0e9, (last - began) / 1.0e9, outputs)
  end

  defp times(first, last, 1), do: %{first_ms: first * 1000, next_ms: nil, last_ms: last * 1000}

  defp times(first, last, outputs),
    do: %{
      first_ms: first * 1000,
      next_ms: (last - first) * 1000 / (outputs - 1),
      last_ms: last * 1000
    }

  defp now, do: System.monotonic_time(:nanosecond)
end
