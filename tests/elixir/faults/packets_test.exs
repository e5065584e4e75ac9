defmodule Vllm.Faults.PacketsTest do
  # A worker on another host, as far as the kernel is concerned: what is lost or swapped here are packets.
  use Vllm.FaultCase, needs: [:network]

  @near "10.213.7.1"
  @far "10.213.7.2"
  @namespace "vllm_bridge_faults"

  setup_all do
    {_said, 0} = System.cmd("ip", ["netns", "add", @namespace])
    on_exit(fn -> System.cmd("ip", ["netns", "delete", @namespace]) end)
    :ok
  end

  setup %{name: name} do
    {:ok, python} = Vllm.Environment.python()
    script = "tests/elixir/support/faults/network.py"

    network =
      Port.open({:spawn_executable, python}, [
        :binary,
        line: 100,
        args: [script, @namespace, @near, @far]
      ])

    assert_receive {^network, {:data, {:eol, "ready"}}}
    before = ["ip", "netns", "exec", @namespace]
    {%{address: address}, _port} = by_hand(["--listen", "tcp:#{@far}:0"], before: before)
    %{engine: attach(name, address), network: network}
  end

  for {fault, mode} <- [
        {"30 ms of delay each way", "delay 30"},
        {"one packet in ten is lost", "lose 10"},
        {"one packet in five is behind the next ones", "swap 20"}
      ] do
    test fault, %{engine: engine, network: network} do
      survived("packets", unquote(fault), engine, fn ->
        Port.command(network, unquote(mode) <> "\n")
        FaultCase.rounds(engine, 10)
      end)

      Port.command(network, "pass\n")
    end
  end

  test "nothing passes for a time", %{engine: engine, network: network} do
    survived("packets", "nothing passes for 5 s", engine, fn ->
      Port.command(network, "drop\n")
      receive after: (5_000 -> Port.command(network, "pass\n"))
    end)
  end

  test "nothing passes any more, and neither side is told", context do
    %{engine: engine, network: network} = context

    lost("packets", "nothing passes any more", engine, [:worker_down], fn ->
      Port.command(network, "drop\n")
    end)

    # The worker notices it too: the requests of the lost session are gone before anybody connects again.
    Port.command(network, "pass\n")
    FaultCase.assert_same_worker(engine)
  end
end
