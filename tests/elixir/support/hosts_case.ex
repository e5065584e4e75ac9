defmodule Vllm.HostsCase do
  @moduledoc false
  # An engine whose second core is on another host: a node that `mix vllm.node` runs. Here it is another
  # BEAM on this machine.

  use ExUnit.CaseTemplate

  import Vllm.FakeWorkerCase, only: [wait_until: 1]
  import Vllm.VllmEngine

  alias Vllm.{AsyncLLM, Stream}

  @arguments [
    max_model_len: 512,
    num_gpu_blocks_override: 64,
    distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
  ]

  # An engine takes half a minute to start, on a busy machine more.
  @built 800_000

  using do
    quote do
      import ExUnit.CaptureLog
      import Vllm.FakeWorkerCase, only: [wait_until: 1]
      import Vllm.HostsCase
      import Vllm.VllmEngine, only: [group: 1, request_id: 0]

      alias Vllm.{AsyncLLM, Error, Stream}

      @moduletag :vllm
      @moduletag timeout: 1_800_000
    end
  end

  setup_all do
    put_environment()
    port = free_port()

    engine =
      arguments(:random, @arguments) ++
        [
          data_parallel_size: 2,
          data_parallel_size_local: 1,
          data_parallel_address: "127.0.0.1",
          data_parallel_rpc_port: port
        ]

    %{node: start_node(port), engine: engine}
  end

  # The declared engine, once it is built.
  def built(name) do
    {:ok, engine} = Vllm.engine(name, :it, @built)
    engine
  end

  def built, do: @built

  # Waits until a declared engine is another than one that has died.
  def built_again(name, dead) do
    wait_until(fn ->
      match?({:ok, again} when again != dead, Vllm.engine(name, :it, @built))
    end)

    built(name)
  end

  def answer(engine, rank) do
    rank = if rank, do: [data_parallel_rank: rank], else: []
    params = [max_tokens: 16, temperature: 0.0, ignore_eos: true]
    {:ok, stream} = AsyncLLM.generate(engine, "Hello", params, request_id(), rank)
    {:ok, output} = Stream.collect(stream)
    hd(output.outputs).token_ids
  end

  # The process id of its BEAM. It is told to stop when the module's tests are over.
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
    ExUnit.Callbacks.on_exit(fn -> for ext <- ["", ".log"], do: File.rm(pid_file <> ext) end)
    node = pid_file |> File.read!() |> String.trim()
    ExUnit.Callbacks.on_exit(fn -> stop_node(node) end)
    node
  end

  defp stop_node(node),
    do: System.cmd("/bin/sh", ["-c", "kill -TERM #{node} 2>/dev/null; true"])

  defp free_port do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :ok = :gen_tcp.close(socket)
    port
  end

  # The Python processes of the node, which lead a group of their own.
  def python(node) do
    for pid <- children(node), {pid, name} <- group(pid), do: {pid, name}
  end

  def cores(node), do: for({pid, "VLLM::" <> _} <- python(node), do: pid)

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
