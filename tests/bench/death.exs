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

# Returns when it was sent, by the system's clock in milliseconds.
signal = fn pid, name ->
  {sent, 0} = System.cmd("/bin/sh", ["-c", "date +%s%3N; kill -#{name} #{pid}"])
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

core = core.()
stream = generate.(0)
stopped = signal.(core, "STOP")
until.(until, stalled?)
hung = now.() - stopped
continued = signal.(core, "CONT")
until.(until, fn -> not stalled?.() end)
recovered = now.() - continued
Stream.cancel(stream)

tasks = for n <- 1..streams, do: Task.async(fn -> {Stream.collect(generate.(n)), now.()} end)

until.(until, fn -> Vllm.call(engine, :get_num_unfinished_requests) == {:ok, streams} end)
killed = signal.(core, "KILL")
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
