# How soon callers hear of a killed worker, and when nothing of its tree is left (case 34: 1 s and
# 5 s). With a real engine:
#
#     mix run tests/bench/orphans.exs

alias Vllm.{AsyncLLM, Stream, TinyModel}

streams = 64
name = Bench.Orphans

Code.require_file("support/environment.exs", __DIR__)

Logger.configure(level: :none)
{:ok, model} = TinyModel.make(:scripted)
arguments = [model: model, dtype: "float32", enforce_eager: true, max_model_len: 2048]
{:ok, instance} = Vllm.start_link(name: name, engines: [it: arguments])
{:ok, engine} = Vllm.engine(name, :it, 300_000)
worker = Vllm.Instance.process_name(name, "Worker")
%{os_pid: os_pid} = Vllm.Worker.info(worker)
{:ok, "unix:" <> socket, _token} = Vllm.Worker.address(worker)
folder = Path.dirname(socket)
now = fn -> System.monotonic_time(:millisecond) end

group = fn ->
  for path <- Path.wildcard("/proc/[0-9]*/stat"),
      {:ok, text} <- [File.read(path)],
      [state, _parent, group | _] <- [text |> String.split(")") |> List.last() |> String.split()],
      group == to_string(os_pid) and state != "Z",
      do: path
end

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

IO.puts(
  "#{length(answers)} of #{streams} answered: #{inspect(Enum.frequencies_by(answers, &elem(&1, 0)))}"
)

IO.puts("answered after    #{hd(times)} to #{List.last(times)} ms (case 34: 1000 ms)")
IO.puts("#{processes} processes gone after #{elem(gone, 1) - killed} ms (case 34: 5000 ms)")
IO.puts("its files gone after #{elem(files, 1) - killed} ms")
Process.unlink(instance)
Supervisor.stop(instance, :shutdown, 60_000)
