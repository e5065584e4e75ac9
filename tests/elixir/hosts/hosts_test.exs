defmodule Vllm.Hosts.HostsTest do
  # A declared engine whose second core is on another host: a node that `mix vllm.node` runs. Here it is
  # another BEAM on this machine.
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog
  import Vllm.FakeWorkerCase, only: [wait_until: 1]
  import Vllm.VllmEngine

  alias Vllm.{AsyncLLM, Error, Stream}

  @moduletag :vllm
  # An engine takes half a minute to start, and is built twice.
  @moduletag timeout: 1_800_000
  @built 800_000

  @arguments [
    max_model_len: 512,
    num_gpu_blocks_override: 64,
    distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
  ]

  setup_all do
    put_environment()
    port = free_port()
    node = start_node(port)
    on_exit(fn -> System.cmd("/bin/sh", ["-c", "kill -TERM #{node} 2>/dev/null; true"]) end)

    engine =
      arguments(:random, @arguments) ++
        [
          data_parallel_size: 2,
          data_parallel_size_local: 1,
          data_parallel_address: "127.0.0.1",
          data_parallel_rpc_port: port
        ]

    %{node: node, engine: engine}
  end

  test "it answers on both hosts, and is built again when the other one's core is killed",
       context do
    start_supervised!({Vllm, name: __MODULE__, engines: [it: context.engine], log: false})
    {:ok, engine} = Vllm.engine(__MODULE__, :it, @built)
    expected = answer(engine, 0)
    assert answer(engine, 1) == expected

    # Without a rank vLLM divides them.
    answers = 1..32 |> Task.async_stream(fn _ -> answer(engine, nil) end, timeout: @built)
    assert Enum.uniq(for {:ok, answer} <- answers, do: answer) == [expected]

    assert {:ok, false} = AsyncLLM.is_sleeping(engine)
    assert {:ok, [nil]} = AsyncLLM.collective_rpc(engine, "check_health")

    capture_log(fn ->
      streams = for rank <- [0, 1, 0, 1], do: endless(engine, rank)
      kill_core(context.node)

      for stream <- streams do
        assert {:error, %Error{kind: :engine_dead} = error} = Stream.collect(stream)
        assert error.message =~ "EngineCore of rank 1 was lost"
      end

      wait_until(fn ->
        match?({:ok, again} when again != engine, Vllm.engine(__MODULE__, :it, @built))
      end)
    end)

    {:ok, again} = Vllm.engine(__MODULE__, :it, @built)
    assert for(rank <- [0, 1], do: answer(again, rank)) == [expected, expected]

    # Its head ends in order, and the node goes on without a core until it is told to stop.
    stop_supervised!(__MODULE__)
    wait_until(fn -> cores(context.node) == [] end)
    assert python(context.node) != []
    System.cmd("kill", ["-TERM", context.node])
    wait_until(fn -> python(context.node) == [] end)
  end

  defp answer(engine, rank) do
    rank = if rank, do: [data_parallel_rank: rank], else: []
    params = [max_tokens: 16, temperature: 0.0, ignore_eos: true]
    {:ok, stream} = AsyncLLM.generate(engine, "Hello", params, request_id(), rank)
    {:ok, output} = Stream.collect(stream)
    hd(output.outputs).token_ids
  end

  defp endless(engine, rank) do
    params = [max_tokens: 480, temperature: 0.0, ignore_eos: true]

    {:ok, stream} =
      AsyncLLM.generate(engine, "Hello", params, request_id(), data_parallel_rank: rank)

    stream
  end

  # The process id of its BEAM.
  defp start_node(port) do
    pid_file = Path.join(System.tmp_dir!(), "vllm_node_#{System.unique_integer([:positive])}")

    command = """
    echo $$ > #{pid_file}.part && mv #{pid_file}.part #{pid_file}
    exec mix vllm.node #{model(:random)} --head 127.0.0.1:#{port} --start-rank 1 \
      --data-parallel-size 2 --dtype float32 --enforce-eager --max-model-len 512 \
      --num-gpu-blocks-override 64 \
      --distributed-executor-backend #{@arguments[:distributed_executor_backend]} > #{pid_file}.log 2>&1
    """

    spawn(fn -> System.cmd("/bin/sh", ["-c", command], env: [{"MIX_ENV", "test"}]) end)
    wait_until(fn -> File.exists?(pid_file) end)
    on_exit(fn -> for file <- [pid_file, pid_file <> ".log"], do: File.rm(file) end)
    pid_file |> File.read!() |> String.trim()
  end

  defp free_port do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :ok = :gen_tcp.close(socket)
    port
  end

  # The Python processes of the node, which lead a group of their own.
  defp python(node) do
    for pid <- children(node), {pid, name} <- group(pid), do: {pid, name}
  end

  defp cores(node), do: for({pid, "VLLM::" <> _} <- python(node), do: pid)

  defp kill_core(node) do
    [core] = cores(node)
    {_, 0} = System.cmd("kill", ["-KILL", core])
  end

  # The BEAM starts programs through a process of its own.
  defp children(pid) do
    {output, _} = System.cmd("ps", ["-eo", "pid=,ppid="])
    pairs = for line <- String.split(output, "\n", trim: true), do: String.split(line)
    below(pairs, pid)
  end

  defp below(pairs, pid) do
    own = for [child, ^pid] <- pairs, do: child
    own ++ Enum.flat_map(own, &below(pairs, &1))
  end
end
