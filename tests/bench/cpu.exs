# Where does the CPU go at 256 streams, in process and through Elixir?
#
#     mix run tests/bench/cpu.exs [MODEL]
#
# One worker, one engine, both ways in turn. For each process the table shows the CPU time it used,
# in µs per token, from /proc; and how much of the machine was idle. It is the whole time of the
# processes: what vLLM's Worker burns while it waits for the next step is in it.

defmodule Cpu do
  @streams 256
  @tokens 128
  @rounds 3
  @repeats 3
  @prompt "hello world"
  # The kernel counts in hundredths of a second (USER_HZ).
  @tick_us 10_000

  def run(argv) do
    Logger.configure(level: :error)

    # Without it vLLM takes nine tenths of the memory for its cache, or does not start.
    unless System.get_env("VLLM_CPU_KVCACHE_SPACE"),
      do: System.put_env("VLLM_CPU_KVCACHE_SPACE", "1")

    {:ok, instance} =
      Vllm.start_link(
        name: Cpu.Vllm,
        engine_class: "tests.bench.measured_engine:MeasuredAsyncLLM",
        env: [{"PYTHONPATH", File.cwd!()}]
      )

    {:ok, engine} =
      Vllm.AsyncLLM.from_engine_args(Cpu.Vllm,
        model: List.first(argv) || make_model(),
        dtype: "float32",
        enforce_eager: true,
        max_model_len: 512,
        max_num_seqs: @streams,
        disable_log_stats: true
      )

    {:ok, %{pid: worker}} = Vllm.Connection.info({Cpu.Vllm, node()})
    processes = [{"BEAM", System.pid()} | group(worker)]
    for way <- [:in_process, :elixir], do: generate(way, engine)

    IO.puts("µs of CPU per token, #{@streams} streams of #{@tokens} tokens")
    for _ <- 1..@rounds, way <- [:in_process, :elixir], do: measure(way, engine, processes)

    {:ok, nil} = Vllm.AsyncLLM.shutdown(engine)
    Supervisor.stop(instance)
  end

  defp make_model do
    {:ok, model} = Vllm.TinyModel.make(:random)
    model
  end

  defp measure(way, engine, processes) do
    {before, idle, all} = snapshot(processes)

    {us, tokens} = :timer.tc(fn -> Enum.sum(for _ <- 1..@repeats, do: generate(way, engine)) end)

    {later, idle_later, all_later} = snapshot(processes)

    used =
      for {{name, _pid}, from, to} <- Enum.zip([processes, before, later]), to > from do
        "#{name} #{Float.round((to - from) * @tick_us / tokens, 1)}"
      end

    idle = Float.round(100 * (idle_later - idle) / (all_later - all), 1)
    rate = round(tokens / us * 1_000_000)
    IO.puts("#{way}: #{rate} tokens/s, #{idle} % idle | #{Enum.join(used, ", ")}")
  end

  defp generate(:in_process, engine) do
    {:ok, {tokens, _seconds}} =
      Vllm.call(engine, :generate_in_process, [@prompt, params(), @streams],
        rpc: [timeout: :infinity]
      )

    tokens
  end

  defp generate(:elixir, engine) do
    1..@streams
    |> Enum.map(fn index -> Task.async(fn -> count_tokens(engine, index) end) end)
    |> Task.await_many(:infinity)
    |> Enum.sum()
  end

  defp count_tokens(engine, index) do
    {:ok, stream} = Vllm.AsyncLLM.generate(engine, @prompt, params(), "elixir-#{index}")

    Enum.reduce(stream, 0, fn output, tokens ->
      Enum.reduce(output.outputs, tokens, &(&2 + length(&1.token_ids)))
    end)
  end

  defp params do
    %Vllm.SamplingParams{
      max_tokens: @tokens,
      temperature: 0.0,
      ignore_eos: true,
      output_kind: :DELTA
    }
  end

  ## /proc

  # The worker leads a process group, which vLLM's processes share.
  defp group(worker) do
    for pid <- File.ls!("/proc"),
        pid =~ ~r/^\d+$/,
        {name, fields} <- List.wrap(stat(pid)),
        Enum.at(fields, 2) == "#{worker}",
        do: {name, pid}
  end

  defp snapshot(processes) do
    ["cpu" | fields] =
      "/proc/stat" |> File.read!() |> String.split("\n") |> hd() |> String.split()

    times = Enum.map(fields, &String.to_integer/1)
    # idle and iowait, of the first eight: guests are counted twice.
    {Enum.map(processes, fn {_name, pid} -> ticks(pid) end),
     Enum.at(times, 3) + Enum.at(times, 4), times |> Enum.take(8) |> Enum.sum()}
  end

  defp ticks(pid) do
    case stat(pid) do
      {_name, fields} ->
        String.to_integer(Enum.at(fields, 11)) + String.to_integer(Enum.at(fields, 12))

      nil ->
        0
    end
  end

  # The name may hold anything; what follows its last parenthesis is state, parent, group …
  defp stat(pid) do
    with {:ok, text} <- File.read("/proc/#{pid}/stat"),
         [_, name, rest] <- Regex.run(~r/\((.*)\) (.*)/s, text) do
      {name, String.split(rest)}
    else
      _ended -> nil
    end
  end
end

Cpu.run(System.argv())
