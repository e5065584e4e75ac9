# What a token costs each process, with an engine that costs nothing (free_engine.py).

Code.require_file("measured.exs", __DIR__)

defmodule Bench.Cost do
  alias Bench.{Measured, Processes}

  @module "tests.bench.support.free_engine"

  @doc "The arguments of a free engine; with vLLM's own scheduler if told."
  def arguments(scheduler? \\ false) do
    scheduler = if scheduler?, do: [], else: [scheduler_cls: @module <> ".FreeScheduler"]

    [distributed_executor_backend: @module <> ".FreeExecutor"] ++
      scheduler ++
      [max_num_seqs: 2048, max_model_len: 2048, num_gpu_blocks_override: 300_000] ++
      [enable_prefix_caching: false]
  end

  @doc "Runs `fun` with a file that says how fast free engines are, and the environment that names it."
  def with_rate(fun) do
    file = Path.join(System.tmp_dir!(), "free-engine-rate-#{System.pid()}")
    set_rate(file, 0)

    try do
      fun.(file, [{"FREE_ENGINE_RATE_FILE", file}])
    after
      File.rm(file)
    end
  end

  @doc "Tokens per second of all streams together; 0 for as fast as it goes."
  def set_rate(file, rate), do: File.write!(file, "#{rate}")

  @doc "A worker with a free engine; `fun` gets the engine."
  def with_engine(opts, env, fun),
    do: Measured.with_engine(opts, arguments(opts[:scheduler] || false), env, fun)

  @doc "The processes of a group, as `{:core | :front, pid}`, and `client` if there is one."
  def processes(leader, client) do
    # Names as the kernel keeps them, of 15 bytes.
    parts =
      for {name, pid} <- Processes.group(leader),
          do: {if(String.starts_with?(name, "VLLM::EngineCor"), do: :core, else: :front), pid}

    if client, do: [{:client, client} | parts], else: parts
  end

  @doc "µs of CPU for each of `tokens` that `fun` brings, by part; with what `fun` returned."
  def measure(processes, tokens, fun) do
    before = snapshot(processes)
    result = fun.()

    costs =
      for {{part, is}, {part, was}} <- Enum.zip(snapshot(processes), before),
          reduce: %{front: 0.0, client: 0.0, core: 0.0},
          do: (costs -> Map.update!(costs, part, &(&1 + (is - was) / 1000 / tokens)))

    {costs, result}
  end

  defp snapshot(processes), do: for({part, pid} <- processes, do: {part, Processes.cpu_ns(pid)})
end
