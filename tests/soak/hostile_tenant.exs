# Does one client take another along?
#
#     make soak HOSTILE=1 MINUTES=60
#
# One worker with a real engine, and two clients that have a session each. The first runs eight
# streams without a pause, and each must say exactly what the model says. The other does in turn,
# again and again, what is listed in support/attacks.exs.
#
# First a stream runs alone, and then the eight without attacks, which shows how evenly they run on this
# machine. The exit status is 1 if
#
#   * a stream says anything else than the one that ran alone, or fails
#   * an attack gets an answer that it must not get
#   * a gap between two items of a stream, or the wait for a first item, is longer than the longest
#     without attacks by more than 250 ms
#   * the worker or a process of either client was replaced
#   * requests are left in the engine, or calls in the worker
#   * anything grows while the attacks go on: see support/growth.exs; memory is judged in a run of 30
#     minutes or more
#
# What it does not show: GPUs, several engines, a model of any real size. The attacks are made on the
# same cores: on two of them a part of each gap is theirs.

for file <- ~w(scripted processes growth broken_adapters attacks),
    do: Code.require_file("support/#{file}.exs", __DIR__)

defmodule Soak.HostileTenant do
  alias Soak.{Attacks, Growth, Processes, Scripted}
  alias Vllm.{AsyncLLM, Error, Ref, TinyModel}

  @owner Soak.Owner
  @tenant Soak.Tenant
  @instances [@owner, @tenant]

  @streams 8
  @tokens 400
  @allowed_ms 250
  @quiet 0.2

  # Attacks of megabytes warm the memory up for longer than streams do.
  @judged_minutes 30

  def run do
    minutes = "MINUTES" |> System.get_env("5") |> Float.parse() |> elem(0)
    Logger.configure(level: :none)
    folder = Path.join(System.tmp_dir!(), "hostile-#{System.pid()}")
    File.mkdir_p!(folder)
    {engine, foreign} = start(folder)
    {:ok, good} = TinyModel.adapter(:meow)
    attacks = Attacks.all(foreign, good, folder, @instances)
    pids = pids()

    alone = phase(engine, 0.001, [], 1)
    IO.puts("alone: #{show(alone)}")
    IO.puts("#{@streams} streams, #{length(attacks)} attacks, for #{minutes} min")
    quiet = phase(engine, minutes * @quiet, [], @streams)
    IO.puts("without attacks: #{show(quiet)}")
    loud = phase(engine, minutes, attacks, @streams)
    IO.puts("with attacks: #{show(loud)}")
    compare(quiet, loud)

    broken =
      Enum.flat_map([alone, quiet, loud], &failures/1) ++
        late(quiet, loud) ++
        left(engine, pids) ++ Growth.report(loud.samples, minutes >= @judged_minutes)

    stop()
    File.rm_rf!(folder)

    if broken == [],
      do: IO.puts("passed"),
      else: IO.puts("FAILED:\n  #{Enum.join(broken, "\n  ")}")

    System.halt(if(broken == [], do: 0, else: 1))
  end

  ## Two clients of one worker

  defp start(folder) do
    {:ok, model} = TinyModel.make(:scripted)

    {:ok, owner} =
      Vllm.start_link(
        name: @owner,
        socket_dir: folder,
        engine_class: "tests.soak.printing_engine:PrintingAsyncLLM",
        env: [{"PYTHONPATH", File.cwd!()}]
      )

    {:ok, engine} =
      AsyncLLM.from_engine_args(@owner,
        model: model,
        dtype: "float32",
        enforce_eager: true,
        max_model_len: 1024,
        num_gpu_blocks_override: 512,
        enable_prompt_embeds: true,
        enable_lora: true,
        max_loras: 2,
        max_lora_rank: 8
      )

    {:ok, %{"pid" => pid}} = Vllm.status(@owner)
    # gRPC is served beside the sessions, at the same path with an ending.
    [grpc] = folder |> Path.join("**/*.grpc") |> Path.wildcard()
    socket = Path.rootname(grpc, ".grpc")
    {:ok, tenant} = Vllm.start_link(name: @tenant, connect: "unix:" <> socket, token: token(pid))

    Enum.each([owner, tenant], &Process.unlink/1)
    {engine, %Ref{engine | instance: {@tenant, node()}}}
  end

  # The operator's secret, as the other client would have been given it.
  defp token(pid) do
    [_all, token] = Regex.run(~r/VLLM_BRIDGE_TOKEN=([^\0]*)/, File.read!("/proc/#{pid}/environ"))
    token
  end

  defp stop do
    for instance <- Enum.reverse(@instances),
        pid = Process.whereis(instance),
        is_pid(pid),
        do: Supervisor.stop(pid, :shutdown, 60_000)
  end

  ## A phase: streams beside attacks, for some minutes

  defp phase(engine, minutes, attacks, streams) do
    ends = now() + round(minutes * 60_000)
    {:ok, now} = Agent.start_link(fn -> nil end)
    streams = for n <- 1..streams, do: Task.async(fn -> streams(engine, n, ends, now, []) end)
    attacker = Task.async(fn -> attack(attacks, ends, now, %{}) end)
    samples = if attacks == [], do: [], else: Growth.samples(@owner, ends)
    runs = streams |> Task.await_many(:infinity) |> Enum.concat()
    attacked = Task.await(attacker, :infinity)
    Agent.stop(now)
    %{runs: runs, attacked: attacked, samples: samples}
  end

  defp streams(engine, n, ends, under_way, runs) do
    if now() < ends,
      do: streams(engine, n, ends, under_way, [stream(engine, n, under_way) | runs]),
      else: runs
  end

  # `%{first: …, gap: …, attack: …, failure: …}`, in milliseconds; the attack is the one that was under
  # way at the end of the longest gap.
  defp stream(engine, n, under_way) do
    params = [max_tokens: @tokens, temperature: 0.0, output_kind: :DELTA]
    id = "#{n}-#{System.unique_integer([:positive])}"
    start = %{first: nil, gap: 0, attack: nil, at: now(), text: []}

    with {:ok, stream} <- AsyncLLM.generate(engine, "#{n}: count", params, id) do
      stream |> Enum.reduce(start, &item(&1, &2, under_way)) |> judged()
    else
      {:error, error} -> Map.put(start, :failure, "generate: #{Exception.message(error)}")
    end
  rescue
    error in Error -> %{first: nil, gap: 0, attack: nil, failure: Exception.message(error)}
  end

  defp item(output, %{first: nil} = run, under_way) do
    waited = now() - run.at
    %{run | first: waited, at: now(), text: [hd(output.outputs).text], attack: current(under_way)}
  end

  defp item(output, run, under_way) do
    gap = now() - run.at
    run = %{run | at: now(), text: [run.text, hd(output.outputs).text]}
    if gap > run.gap, do: %{run | gap: gap, attack: current(under_way)}, else: run
  end

  defp judged(run) do
    failure = difference(IO.iodata_to_binary(run.text), Scripted.counting(@tokens))
    run |> Map.delete(:text) |> Map.put(:failure, failure)
  end

  defp difference(text, text), do: nil

  defp difference(text, expected) do
    same = :binary.longest_common_prefix([text, expected])
    rest = binary_part(text, same, byte_size(text) - same)
    "a stream said the right thing for #{same} bytes, then #{inspect(rest, printable_limit: 100)}"
  end

  defp current(under_way), do: Agent.get(under_way, & &1)

  defp attack(attacks, ends, under_way, counts) do
    Enum.reduce(attacks, counts, fn {name, attack}, counts ->
      Agent.update(under_way, fn _before -> name end)
      began = now()
      answer = attack.()
      Agent.update(under_way, fn _name -> "after #{name}" end)
      taken = now() - began
      Map.update(counts, name, [{taken, answer}], &[{taken, answer} | &1])
    end)
    |> then(
      &if(attacks != [] and now() < ends, do: attack(attacks, ends, under_way, &1), else: &1)
    )
  end

  ## Judging

  defp show(%{runs: runs, attacked: attacked}) do
    lines =
      for {name, answers} <- Enum.sort_by(attacked, fn {_name, answers} -> -longest(answers) end) do
        "\n  #{String.pad_leading("#{longest(answers)}", 7)} ms at most, #{length(answers)} times: #{name}"
      end

    gaps =
      for run <- runs |> Enum.sort_by(&(-&1.gap)) |> Enum.take(10),
          do: "\n  a gap of #{run.gap} ms (#{run.attack || "no attack"})"

    "#{length(runs)} streams, longest wait for a first item #{most(runs, :first)} ms, " <>
      "longest gap #{most(runs, :gap)} ms#{gaps}#{lines}"
  end

  # How evenly the streams ran, beside each other.
  defp compare(quiet, loud) do
    IO.puts("\nmilliseconds, of each stream      without attacks   with attacks")

    for {key, what} <- [first: "wait for its first item", gap: "its longest gap"],
        {name, share} <- [{"median", 0.5}, {"99 %", 0.99}, {"longest", 1.0}] do
      [before, after_] = for phase <- [quiet, loud], do: quantile(phase.runs, key, share)

      IO.puts(
        "  #{String.pad_trailing("#{what}, #{name}", 32)}#{String.pad_leading("#{before}", 15)}" <>
          String.pad_leading("#{after_}", 15)
      )
    end
  end

  defp quantile(runs, key, share) do
    sorted = runs |> Enum.map(&(&1[key] || 0)) |> Enum.sort()
    Enum.at(sorted, min(round(length(sorted) * share), length(sorted) - 1))
  end

  defp longest(answers), do: answers |> Enum.map(&elem(&1, 0)) |> Enum.max()
  defp most(runs, key), do: runs |> Enum.map(&(&1[key] || 0)) |> Enum.max()

  defp failures(%{runs: runs, attacked: attacked}) do
    streams = for %{failure: failure} when failure != nil <- runs, do: failure

    answers =
      for {name, answers} <- attacked, {_taken, answer} <- answers, answer != :ok do
        "#{name}: #{inspect(answer, limit: 20, printable_limit: 300)}"
      end

    Enum.uniq(streams ++ answers)
  end

  defp late(quiet, loud) do
    for {key, what} <- [first: "wait for a first item", gap: "gap"],
        {before, after_} = {most(quiet.runs, key), most(loud.runs, key)},
        after_ > before + @allowed_ms,
        do: "the longest #{what} is #{after_} ms, and without attacks #{before} ms"
  end

  defp left(engine, pids) do
    {:ok, requests} = Vllm.call(engine, :get_num_unfinished_requests)
    {:ok, %{"calls" => calls}} = Vllm.status(@owner)
    replaced = pids -- pids()

    Enum.reject(
      [
        requests > 0 and "#{requests} requests are left in the engine",
        calls > 1 and "#{calls - 1} calls are left in the worker",
        replaced != [] and "#{length(replaced)} processes were replaced"
      ],
      &(&1 == false)
    )
  end

  defp pids do
    {:ok, %{"pid" => worker}} = Vllm.status(@owner)
    [worker | Enum.flat_map(@instances, &Processes.all/1)]
  end

  defp now, do: System.monotonic_time(:millisecond)
end

Soak.HostileTenant.run()
