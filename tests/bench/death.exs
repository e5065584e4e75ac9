# How soon callers hear of an engine's death, and when the declared engine serves again (case 33); how
# soon one that hangs is told (case 37). With a real engine:
#
#     mix run tests/bench/death.exs
#
# The time runs from the signal itself: on a busy machine a command takes as long as what is measured.
# About 60 ms of the first figure are the kernel's, which puts away the memory of EngineCore before
# anybody can see that it has ended.

alias Vllm.{AsyncLLM, Stream, TinyModel}

streams = 64
stall_after = 3_000
name = Bench.Death

Code.require_file("support/environment.exs", __DIR__)

{:ok, model} = TinyModel.make(:scripted, [])
arguments = [model: model, dtype: "float32", enforce_eager: true, max_model_len: 2048]

{:ok, instance} =
  Vllm.start_link(
    name: name,
    log: false,
    engines: [it: arguments ++ [num_gpu_blocks_override: 1024]],
    watchdog: [stall_after: stall_after]
  )

# It is stopped at the end, which is not to end this script before.
Process.unlink(instance)
{:ok, engine} = Vllm.engine(name, :it, 300_000)
{:ok, %{"pid" => worker}} = Vllm.status(name)

core = fn ->
  {table, 0} = System.cmd("ps", ["-eo", "pid,pgid,args"])

  [pid] =
    for line <- String.split(table, "\n"),
        [pid, group | words] <- [String.split(line)],
        group == "#{worker}" and Enum.join(words, " ") =~ "VLLM::EngineCore",
        do: pid

  pid
end

# A signal that waits for its word: on a busy machine it takes seconds to start a command.
arm = fn pid, name ->
  script = "read word; date +%s%3N; kill -#{name} #{pid}"
  Port.open({:spawn_executable, "/bin/sh"}, [:binary, :exit_status, args: ["-c", script]])
end

# Returns when it was sent, by the system's clock in milliseconds.
fire = fn signal ->
  Port.command(signal, "\n")
  sent = receive(do: ({^signal, {:data, sent}} -> sent))
  receive(do: ({^signal, {:exit_status, 0}} -> :ok))
  sent |> String.trim() |> String.to_integer()
end

now = fn -> System.os_time(:millisecond) end

endless = [max_tokens: 2000, temperature: 0.0, ignore_eos: true, output_kind: :DELTA]

generate = fn n ->
  {:ok, stream} = AsyncLLM.generate(engine, "#{n}: count", endless, "death-#{n}")
  stream
end

until = fn until, condition ->
  unless condition.() do
    Process.sleep(5)
    until.(until, condition)
  end
end

stalled? = fn ->
  {:ok, %{"engines" => [%{"stalled_s" => seconds}]}} = Vllm.status(name)
  seconds != nil
end

# The request comes to an engine that stands already, and cannot be done before. It is not the first,
# for which vLLM asks EngineCore what it can do, before anything is counted as waiting.
core = core.()
[_item] = Enum.take(generate.(0), 1)
fire.(arm.(core, "STOP"))
started = now.()
stream = generate.(0)
until.(until, stalled?)
hung = now.() - started
continued = fire.(arm.(core, "CONT"))
until.(until, fn -> not stalled?.() end)
recovered = now.() - continued
Stream.cancel(stream)

until.(until, fn -> Vllm.call(engine, :get_num_unfinished_requests) == {:ok, 0} end)
kill = arm.(core, "KILL")
{:ok, nil} = AsyncLLM.pause_generation(engine, mode: "keep")
tasks = for n <- 1..streams, do: Task.async(fn -> {Stream.collect(generate.(n)), now.()} end)
until.(until, fn -> Vllm.call(engine, :get_num_unfinished_requests) == {:ok, streams} end)
{:ok, nil} = AsyncLLM.resume_generation(engine)
Process.sleep(200)
killed = fire.(kill)
ends = Task.await_many(tasks, 60_000)
dead = Enum.count(ends, &match?({{:error, %{kind: :engine_dead}}, _at}, &1))
times = ends |> Enum.map(fn {_result, at} -> at - killed end) |> Enum.sort()

until.(until, fn -> match?({:ok, new} when new != engine, Vllm.engine(name, :it, 300_000)) end)
{:ok, new} = Vllm.engine(name, :it)
{:ok, stream} = AsyncLLM.generate(new, "Hello", [max_tokens: 4], "again")
{:ok, _output} = Stream.collect(stream)
again = now.() - killed

IO.puts("""

an engine that is stopped, with `stall_after: #{stall_after}`
  told as hanging after      #{hung} ms
  told as moving again after #{recovered} ms
kill -9 of EngineCore with #{streams} requests in flight
  :engine_dead               #{dead} of #{streams}
  first / median / last      #{hd(times)} / #{Enum.at(times, div(streams, 2))} / #{List.last(times)} ms
  first answer of the new    #{again} ms
""")

Supervisor.stop(instance, :shutdown, 60_000)
