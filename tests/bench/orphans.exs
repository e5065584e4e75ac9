# How soon callers hear of a killed worker, and when nothing of its tree is left (case 34: 1 s and
# 5 s). With a real engine:
#
#     mix run tests/bench/orphans.exs [--json]

alias Vllm.{AsyncLLM, Stream, TinyModel}

streams = 64
name = Bench.Orphans

Code.require_file("support/bench.exs", __DIR__)

opts = Bench.options(System.argv())
Logger.configure(level: :none)
{:ok, model} = TinyModel.make(:scripted)
arguments = [model: model, dtype: "float32", enforce_eager: true, max_model_len: 2048]
{:ok, instance} = Vllm.start_link(name: name, engines: [it: arguments])
{:ok, engine} = Vllm.engine(name, :it, 300_000)
worker = Vllm.Core.Instance.Locator.process_name(name, "Worker")
%{os_pid: os_pid} = Vllm.Core.Worker.info(worker)
{:ok, "unix:" <> socket, _token} = Vllm.Core.Worker.address(worker)
folder = Path.dirname(socket)
now = fn -> System.monotonic_time(:millisecond) end

group = fn -> Bench.Processes.group(os_pid) end

calls =
  for n <- 1..streams do
    Task.async(fn ->
      params = [max_tokens: 2000, temperature: 0.0, output_kind: :DELTA]
      {:ok, stream} = AsyncLLM.generate(engine, "#{n}: count", params, "#{n}")
      result = Stream.collect(stream)
      {result, now.()}
    end)
  end

Elixir.Stream.repeatedly(fn -> Vllm.call(engine, :get_num_unfinished_requests) end)
|> Enum.find(&(&1 == {:ok, streams}))

processes = length(group.())
killed = now.()
{_, 0} = System.cmd("/bin/sh", ["-c", "kill -KILL #{os_pid}"])
answers = for {{:error, error}, time} <- Task.await_many(calls), do: {error.kind, time - killed}
gone = Elixir.Stream.repeatedly(fn -> {group.(), now.()} end) |> Enum.find(&(elem(&1, 0) == []))

files =
  Elixir.Stream.repeatedly(fn ->
    {File.exists?(folder) or Path.wildcard("/dev/shm/#{Path.basename(folder)}_*") != [], now.()}
  end)
  |> Enum.find(&(elem(&1, 0) == false))

times = answers |> Enum.map(&elem(&1, 1)) |> Enum.sort()
kinds = Enum.frequencies_by(answers, &elem(&1, 0))

rows = [
  %{what: "the first of #{streams} calls answered", ms: hd(times), goal: 1000},
  %{what: "the last", ms: List.last(times), goal: 1000},
  %{what: "#{processes} processes gone", ms: elem(gone, 1) - killed, goal: 5000},
  %{what: "their files gone", ms: elem(files, 1) - killed}
]

table = Bench.table("ms after kill -9 of a worker", [what: "what", ms: "ms", goal: "goal"], rows)
Bench.report(opts, "orphans", [table], ["answers: #{inspect(kinds)}"])
Process.unlink(instance)
Supervisor.stop(instance, :shutdown, 60_000)
