# Does anything grow while the bridge is used for long?
#
#     make soak                # 30 minutes
#     make soak MINUTES=120
#
# 32 streams at once on a real engine with the scripted model, 20 % of them cancelled in one of four
# ways at a random item, and a control call every 10 s. A sample is taken every 5 s; the first tenth
# warms up and does not count. The exit status is 1 if a limit is broken:
#
#   * memory: worker, EngineCore, BEAM and its tables each grow by less than 1 MB/min (a fit over all
#     samples; in a run of less than 10 minutes it is shown and not judged)
#   * processes, ports, descriptors, tables: the median of the last third is not above that of the first
#     by more than 5; atoms by 50; references in the worker by 2
#   * every stream says what the model says, every call succeeds, nothing is left at the end
#
# What it does not show: GPUs, other machines, a model of any real size.

for file <- ~w(scripted processes growth), do: Code.require_file("support/#{file}.exs", __DIR__)

defmodule Soak do
  import Soak.Growth, only: [check: 3]
  import Soak.Scripted, only: [counting: 1]

  alias Soak.Growth
  alias Vllm.{AsyncLLM, Stream, TinyModel}

  @streams 32
  @cancelled 0.2
  @control_every 10_000
  @judged_minutes 10

  @controls ~w(check_health is_paused is_sleeping get_num_unfinished_requests get_supported_tasks
               do_log_stats reset_mm_cache is_tracing_enabled)

  def run do
    minutes = "MINUTES" |> System.get_env("30") |> Float.parse() |> elem(0)
    Logger.configure(level: :error)
    {:ok, model} = TinyModel.make(:scripted)

    arguments = [
      model: model,
      dtype: "float32",
      enforce_eager: true,
      num_gpu_blocks_override: 2048
    ]

    options = [name: Soak.Vllm, log: :debug, engines: [it: [max_model_len: 1024] ++ arguments]]
    {:ok, instance} = Vllm.start_link(options)
    {:ok, engine} = Vllm.engine(Soak.Vllm, :it, 300_000)
    {:ok, %{"pid" => worker}} = Vllm.status(Soak.Vllm)

    counts = :counters.new(3, [])
    failures = start_supervisor()
    ends = now() + round(minutes * 60_000)
    IO.puts("#{@streams} streams for #{minutes} min, worker #{worker}")

    streams =
      for n <- 1..@streams,
          do: Task.async(fn -> stream(engine, n, ends, counts, failures) end)

    control = Task.async(fn -> control(engine, ends, counts, failures) end)
    samples = Growth.samples(Soak.Vllm, ends)
    Task.await_many([control | streams], 120_000)

    {:ok, left} = Vllm.call(engine, :get_num_unfinished_requests)
    {:ok, %{"calls" => calls}} = Vllm.status(Soak.Vllm)
    Process.unlink(instance)
    Supervisor.stop(instance, :shutdown, 60_000)

    broken =
      Growth.report(samples, minutes >= @judged_minutes) ++
        check("requests left in the engine", left, 0) ++
        check("calls left in the worker", calls - 1, 0) ++
        check("failures", length(Agent.get(failures, & &1)), 0)

    for failure <- Agent.get(failures, &Enum.take(&1, 10)), do: IO.puts("  #{failure}")
    [done, cancelled, controls] = for n <- 1..3, do: :counters.get(counts, n)
    IO.puts("\n#{done} streams to their end, #{cancelled} cancelled, #{controls} control calls")
    if broken == [], do: IO.puts("passed"), else: IO.puts("FAILED: #{Enum.join(broken, "; ")}")
    System.halt(if(broken == [], do: 0, else: 1))
  end

  defp start_supervisor do
    {:ok, failures} = Agent.start_link(fn -> [] end)
    failures
  end

  ## Load

  defp stream(engine, n, ends, counts, failures) do
    if now() < ends do
      tokens = Enum.random(16..512)
      params = [max_tokens: tokens, temperature: 0.0, output_kind: :DELTA]
      id = "#{n}-#{System.unique_integer([:positive])}"

      case AsyncLLM.generate(engine, "#{n}: count", params, id) do
        {:ok, stream} ->
          if :rand.uniform() < @cancelled,
            do: cancel(stream, Enum.random(0..tokens), Enum.random(1..4), counts, failures),
            else: finish(stream, tokens, counts, failures)

        {:error, error} ->
          fail(failures, "generate: #{error.message}")
      end

      stream(engine, n, ends, counts, failures)
    end
  end

  defp finish(stream, tokens, counts, failures) do
    text = Enum.map_join(stream, &hd(&1.outputs).text)
    if text != counting(tokens), do: fail(failures, "#{tokens} tokens are #{inspect(text)}")
    :counters.add(counts, 1, 1)
  rescue
    error -> fail(failures, Exception.message(error))
  end

  # Halted, cancelled from elsewhere, its consumer killed, its consumer raising.
  defp cancel(stream, items, way, counts, _failures) do
    run =
      case way do
        1 ->
          fn -> Enum.take(stream, items + 1) end

        2 ->
          fn -> Enum.reduce(stream, 0, &at(&1, &2, items, fn -> Stream.cancel(stream) end)) end

        3 ->
          fn ->
            Enum.reduce(stream, 0, &at(&1, &2, items, fn -> Process.exit(self(), :kill) end))
          end

        4 ->
          fn -> Enum.reduce(stream, 0, &at(&1, &2, items, fn -> exit(:shutdown) end)) end
      end

    {pid, monitor} =
      spawn_monitor(fn ->
        try do
          run.()
        rescue
          _cancelled in Vllm.Error -> :ok
        end
      end)

    receive do: ({:DOWN, ^monitor, :process, ^pid, _reason} -> :ok)
    Stream.cancel(stream)
    :counters.add(counts, 2, 1)
  end

  defp at(_item, count, items, fun) do
    if count == items, do: fun.()
    count + 1
  end

  defp control(engine, ends, counts, failures, turn \\ 0) do
    if now() < ends do
      method = Enum.at(@controls, rem(turn, length(@controls)))

      case Vllm.call(engine, method) do
        {:ok, _value} -> :counters.add(counts, 3, 1)
        {:error, error} -> fail(failures, "#{method}: #{error.message}")
      end

      Process.sleep(min(@control_every, max(ends - now(), 0)))
      control(engine, ends, counts, failures, turn + 1)
    end
  end

  defp fail(failures, text), do: Agent.update(failures, &[text | &1])

  defp now, do: System.monotonic_time(:millisecond)
end

Soak.run()
