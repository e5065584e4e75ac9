# How fast do tensors cross, each way, and how much faster could they?
#
#     mix run tests/bench/tensors.exs [--megabytes N] [--rounds N] [--json] [--quick]
#
# One tensor of 64 MB is given by the worker and taken by it. Beside it, in each round, the same
# number of bytes go through a bare Unix socket between Python and the BEAM, and through a bare call
# of grpc.aio between two Python processes. Then 1,000 embeddings of 384 numbers: as one tensor, as
# the result of one call, a list of tensors, and as the results of 1,000 requests at once.
#
# CPU is that of the whole processes, so it holds on a busy machine too. The kernel counts it in
# hundredths of a second: the mean over the rounds is shown.
#
# The engine is the fake one. What it does not show: a real one takes milliseconds for an embedding.

Code.require_file("support/bench.exs", __DIR__)
Code.require_file("support/processes.exs", __DIR__)

defmodule Tensors do
  alias Bench.Processes
  alias Vllm.{AsyncLLM, Tensor}

  @name Tensors.Vllm
  @rows 1_000
  @width 384

  def run(argv) do
    opts = Bench.options(argv, megabytes: :integer)
    bytes = Map.get(opts, :megabytes, if(opts.quick, do: 1, else: 64)) * 1024 * 1024
    rounds = Bench.rounds(opts, 5)

    {:ok, instance} =
      Vllm.start_link(
        name: @name,
        engine_class: "tests.bench.tensor_engine:TensorAsyncLLM",
        env: [{"PYTHONPATH", File.cwd!()}]
      )

    {:ok, engine} = AsyncLLM.from_engine_args(@name, model: "fake")
    {folder, port, socket} = start_bare(bytes)

    count = div(bytes, 4)
    tensor = %Tensor{dtype: "float32", shape: [count], data: :binary.copy("abcd", count)}

    large = [
      {"worker to Elixir", fn -> give(engine, [count]) end},
      {"bare socket to Elixir", fn -> bare_give(socket, bytes) end},
      {"bare grpc.aio, given", fn -> bare_grpc(port, "give") end},
      {"Elixir to worker", fn -> take(engine, tensor) end},
      {"Elixir to bare socket", fn -> bare_take(socket, tensor.data) end},
      {"bare grpc.aio, taken", fn -> bare_grpc(port, "take") end}
    ]

    small = [
      {"as one tensor", fn -> give(engine, [@rows, @width]) end},
      {"as a list of tensors", fn -> give_rows(engine) end},
      {"as a request each", fn -> encode(engine) end}
    ]

    Bench.report(opts, "tensors", [
      measure("a tensor of #{bytes} bytes", large, bytes, rounds),
      measure("#{@rows} embeddings of #{@width} floats", small, @rows * @width * 4, rounds)
    ])

    Port.close(port)
    File.rm_rf!(folder)
    Process.unlink(instance)
    Supervisor.stop(instance, :shutdown, 60_000)
  end

  ## Through the bridge

  defp give(engine, shape) do
    {:ok, nil} = Vllm.call(engine, "keep_tensor", [shape])
    size = Enum.product(shape) * 4

    time(fn ->
      {:ok, %Tensor{data: data}} = Vllm.call(engine, "give")
      ^size = byte_size(data)
    end)
  end

  defp give_rows(engine) do
    {:ok, nil} = Vllm.call(engine, "keep_tensor", [[@rows, @width]])
    time(fn -> {:ok, [%Tensor{} | _]} = Vllm.call(engine, "give_rows") end)
  end

  defp take(engine, tensor) do
    shape = tensor.shape
    time(fn -> {:ok, ^shape} = Vllm.call(engine, "take", [tensor]) end)
  end

  defp encode(engine) do
    row = for n <- 1..@width, do: n / 1
    {:ok, nil} = Vllm.call(engine, "script", [%{"embedding" => row}])

    time(fn ->
      1..@rows
      |> Enum.map(fn n ->
        Task.async(fn ->
          {:ok, stream} = AsyncLLM.encode(engine, "x", [task: "embed"], "#{n}")
          {:ok, %{outputs: %{data: %Tensor{}}}} = Vllm.Stream.collect(stream)
        end)
      end)
      |> Task.await_many(:infinity)
    end)
  end

  ## Without it

  defp start_bare(bytes) do
    {:ok, python} = Vllm.Environment.python(nil)
    folder = Path.join(System.tmp_dir!(), "bare-#{System.pid()}")
    File.mkdir!(folder)
    path = Path.join(folder, "s")
    args = ["-m", "tests.bench.bare_bytes", path, "#{bytes}"]
    port = Port.open({:spawn_executable, python}, [:binary, line: 1000, args: args])
    "ready" = line(port)
    {:ok, socket} = :gen_tcp.connect({:local, path}, 0, [:binary, active: false, packet: :raw])
    {folder, port, socket}
  end

  defp bare_give(socket, bytes) do
    time(fn ->
      :ok = :gen_tcp.send(socket, "g")
      {:ok, _data} = :gen_tcp.recv(socket, bytes)
    end)
  end

  defp bare_take(socket, data) do
    time(fn ->
      :ok = :gen_tcp.send(socket, ["t", data])
      {:ok, "."} = :gen_tcp.recv(socket, 1)
    end)
  end

  defp bare_grpc(port, way) do
    Port.command(port, way <> "\n")
    port |> line() |> String.to_float()
  end

  defp line(port), do: receive(do: ({^port, {:data, {:eol, line}}} -> line))

  ## Figures

  # A first round warms up.
  defp measure(title, ways, bytes, rounds) do
    {:ok, %{pid: worker}} = Vllm.Core.Connection.info({@name, node()})
    for {_name, fun} <- ways, do: fun.()

    results =
      Bench.in_turn(rounds, ways, fn {_name, fun} ->
        before = Enum.map([worker, System.pid()], &Processes.cpu_us/1)
        seconds = fun.()
        later = Enum.map([worker, System.pid()], &Processes.cpu_us/1)
        {seconds, Enum.zip_with(later, before, &((&1 - &2) / 1000))}
      end)

    rows =
      for {name, _fun} = way <- ways do
        {times, cpu} = Enum.unzip(results[way])
        seconds = Bench.median(times)
        [worker_ms, beam_ms] = Enum.zip_with(cpu, &(Enum.sum(&1) / rounds))

        %{way: name, ms: seconds * 1000, gb_s: bytes / seconds / 1.0e9, all_s: times}
        |> Map.merge(%{worker_ms: worker_ms, beam_ms: beam_ms})
      end

    columns =
      [way: "", ms: {"ms", 1}, gb_s: {"GB/s", 2}] ++
        [worker_ms: {"worker CPU ms", 1}, beam_ms: {"BEAM CPU ms", 1}]

    Bench.table(title, columns, rows)
  end

  defp time(fun) do
    {microseconds, _} = :timer.tc(fun)
    microseconds / 1.0e6
  end
end

Tensors.run(System.argv())
