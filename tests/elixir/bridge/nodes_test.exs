defmodule Vllm.Bridge.NodesTest do
  # References and streams on another node than the worker's. Both nodes are children of this one,
  # and find each other without epmd: `home` listens on a fixed port, `guest` knows it.
  use ExUnit.Case, async: true

  import Vllm.BridgeCase, only: [engine_class: 0, endless: 0]

  alias Vllm.{AsyncLLM, Error, OtherNode}

  @moduletag :bridge

  setup_all do
    port = free_port()
    home = start_node(:home, port, [])
    guest = start_node(:guest, port, ['-dist_listen', 'false'])
    home_node = :peer.call(home, :erlang, :node, [])
    assert :peer.call(guest, :net_kernel, :connect_node, [home_node])

    instance = [name: Home.Vllm, engine_class: engine_class(), log: false]
    {:ok, _} = :peer.call(home, OtherNode, :start_instance, [instance])
    {:ok, engine} = :peer.call(home, AsyncLLM, :from_engine_args, [Home.Vllm, [model: "x"]])
    %{home: home, guest: guest, home_node: home_node, engine: engine}
  end

  test "a reference works on another node", %{guest: guest, engine: engine} do
    assert :peer.call(guest, AsyncLLM, :is_running, [engine]) == {:ok, true}
    assert :peer.call(guest, Vllm, :call, [engine, "echo", [[1, "two"]]]) == {:ok, [1, "two"]}
  end

  test "printing it there names the node", %{guest: guest, engine: engine, home_node: node} do
    text = :peer.call(guest, Kernel, :inspect, [engine])
    assert text =~ "@Home.Vllm on #{node}"
  end

  test "a stream is made and enumerated on another node", %{guest: guest, engine: engine} do
    arguments = [engine, "x", [max_tokens: 200, output_kind: :DELTA]]
    assert {:ok, 200} = :peer.call(guest, OtherNode, :generate, arguments)
  end

  test "halting there aborts here", %{guest: guest, engine: engine} do
    arguments = [engine, "x", endless()]
    assert :peer.call(guest, OtherNode, :take_two, arguments) == 2
    assert {:ok, nil} = :peer.call(guest, Vllm, :call, [engine, "wait_requests", [0]])
  end

  test "an enumerable as prompt runs where the caller is", %{guest: guest, engine: engine} do
    name = guest |> :peer.call(:erlang, :node, []) |> Atom.to_string()
    assert :peer.call(guest, OtherNode, :generate_streamed, [engine]) == [name, name]
  end

  test "an instance is named with its node", %{guest: guest, home_node: node} do
    assert {:ok, engine} =
             :peer.call(guest, AsyncLLM, :from_engine_args, [{Home.Vllm, node}, [model: "y"]])

    assert :peer.call(guest, AsyncLLM, :check_health, [engine]) == {:ok, nil}
  end

  test "a node that is not connected is an error that says so", %{engine: engine} do
    # This node is not part of the two.
    assert {:error, %Error{kind: :worker_down, message: message}} = AsyncLLM.is_running(engine)
    assert message =~ "not connected"
  end

  defp start_node(name, port, arguments) do
    paths = Enum.flat_map(:code.get_path(), &['-pa', &1])

    {:ok, peer, _node} =
      :peer.start_link(%{
        name: :"#{name}_#{System.pid()}",
        host: '127.0.0.1',
        longnames: true,
        connection: :standard_io,
        # A busy machine boots a node slowly.
        wait_boot: 60_000,
        args:
          ['-start_epmd', 'false', '-erl_epmd_port', '#{port}', '-setcookie', 'vllm_bridge'] ++
            arguments ++ paths
      })

    {:ok, _} = :peer.call(peer, :application, :ensure_all_started, [:elixir])
    {:ok, _} = :peer.call(peer, :application, :ensure_all_started, [:logger])
    peer
  end

  defp free_port do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)
    port
  end
end
