defmodule Vllm.Bridge.NodesTest do
  # References and streams on another node than the worker's. Both nodes are children of this one,
  # and find each other without epmd: `home` listens on a fixed port, `guest` knows it.
  use ExUnit.Case, async: true

  import Vllm.BridgeCase, only: [engine_class: 0, endless: 0, patience: 0]

  alias Vllm.{AsyncLLM, Error, OtherNode}

  @moduletag :bridge

  setup_all do
    port = free_port()
    home = start_node(:home, port, [])
    guest = start_node(:guest, port, [~c"-dist_listen", ~c"false"])
    home_node = OtherNode.call(home, :erlang, :node, [])
    assert OtherNode.call(guest, :net_kernel, :connect_node, [home_node])

    instance = [name: Home.Vllm, engine_class: engine_class(), log: false] ++ patience()
    {:ok, _} = OtherNode.call(home, OtherNode, :start_instance, [instance])
    {:ok, engine} = OtherNode.call(home, AsyncLLM, :from_engine_args, [Home.Vllm, [model: "x"]])
    %{home: home, guest: guest, home_node: home_node, engine: engine, port: port}
  end

  test "a reference works on another node", %{guest: guest, engine: engine} do
    assert OtherNode.call(guest, AsyncLLM, :is_running, [engine]) == {:ok, true}
    assert OtherNode.call(guest, Vllm, :call, [engine, "echo", [[1, "two"]]]) == {:ok, [1, "two"]}
  end

  test "inspecting it there shows the node", %{guest: guest, engine: engine, home_node: node} do
    text = OtherNode.call(guest, Kernel, :inspect, [engine])
    assert text =~ "@Home.Vllm on #{node}"
  end

  test "a stream is made and enumerated on another node", %{guest: guest, engine: engine} do
    arguments = [engine, "x", [max_tokens: 200, output_kind: :DELTA]]
    assert {:ok, 200} = OtherNode.call(guest, OtherNode, :generate, arguments)
  end

  test "halting there aborts the request here", %{guest: guest, engine: engine} do
    arguments = [engine, "x", endless()]
    assert OtherNode.call(guest, OtherNode, :take_two, arguments) == 2
    assert {:ok, nil} = OtherNode.call(guest, Vllm, :call, [engine, "wait_requests", [0]])
  end

  test "an enumerable as prompt runs where the caller is", %{guest: guest, engine: engine} do
    name = guest |> OtherNode.call(:erlang, :node, []) |> Atom.to_string()
    assert OtherNode.call(guest, OtherNode, :generate_streamed, [engine]) == [name, name]
  end

  test "the end of a node releases what its processes owned", context do
    %{home: home, home_node: home_node, engine: engine, port: port} = context
    visitor = start_node(:visitor, port, [~c"-dist_listen", ~c"false"])
    assert OtherNode.call(visitor, :net_kernel, :connect_node, [home_node])
    object = OtherNode.call(visitor, OtherNode, :own_object, [engine])
    assert {:ok, _greeting} = OtherNode.call(home, Vllm, :call, [object, "greet"])
    :peer.stop(visitor)
    assert {:ok, nil} = OtherNode.call(home, Vllm, :call, [engine, "wait_alive", [0]])

    assert {:error, %Error{kind: :stale_ref}} =
             OtherNode.call(home, Vllm, :call, [object, "greet"])
  end

  test "a receiver is told of the end of the node whose instance serves it", context do
    %{home: home, port: port} = context
    doomed = start_node(:doomed, port, ['-dist_listen', 'false'])
    Process.unlink(doomed)
    assert OtherNode.call(doomed, :net_kernel, :connect_node, [context.home_node])
    doomed_node = OtherNode.call(doomed, :erlang, :node, [])
    assert OtherNode.call(home, :net_kernel, :connect_node, [doomed_node])
    assert doomed_node in OtherNode.call(home, Node, :list, [:connected])

    instance = [name: Doomed.Vllm, engine_class: engine_class(), log: false] ++ patience()
    {:ok, _} = OtherNode.call(doomed, OtherNode, :start_instance, [instance])

    {:ok, engine} =
      OtherNode.call(doomed, AsyncLLM, :from_engine_args, [Doomed.Vllm, [model: "x"]])

    receiver = OtherNode.call(home, OtherNode, :receive_endless, [engine, endless()])
    pid = OtherNode.call(doomed, System, :pid, [])
    {_, 0} = System.cmd("kill", ["-KILL", pid])

    assert {:error, %Error{kind: :worker_down, message: message}} =
             OtherNode.call(home, OtherNode, :last_message, [receiver])

    assert message =~ "Doomed.Vllm on #{doomed_node}"
  end

  test "an instance is named with its node", %{guest: guest, home_node: node} do
    assert {:ok, engine} =
             OtherNode.call(guest, AsyncLLM, :from_engine_args, [{Home.Vllm, node}, [model: "y"]])

    assert OtherNode.call(guest, AsyncLLM, :check_health, [engine]) == {:ok, nil}
  end

  test "a node that is not connected is an error that says so", %{engine: engine} do
    # This node is not part of the two.
    assert {:error, %Error{kind: :worker_down, message: message}} = AsyncLLM.is_running(engine)
    assert message =~ "not connected"
  end

  defp start_node(name, port, arguments) do
    OtherNode.boot(&:peer.start_link/1, %{
      name: :"#{name}_#{System.pid()}",
      host: ~c"127.0.0.1",
      longnames: true,
      args:
        [
          ~c"-start_epmd",
          ~c"false",
          ~c"-erl_epmd_port",
          ~c"#{port}",
          ~c"-setcookie",
          ~c"vllm_bridge"
        ] ++
          arguments
    })
  end

  # Outside of the ports that the kernel assigns, because it is bound later.
  defp free_port do
    port = 15_000 + :rand.uniform(15_000)

    case :gen_tcp.listen(port, ip: {127, 0, 0, 1}) do
      {:ok, socket} ->
        :ok = :gen_tcp.close(socket)
        port

      {:error, :eaddrinuse} ->
        free_port()
    end
  end
end
