defmodule Vllm.Bridge.NodesTest do
  # References and streams on another node than the worker's. Both nodes are children of this one,
  # and find each other without epmd: `home` listens on a fixed port, `guest` knows it.
  use ExUnit.Case, async: true

  import Vllm.BridgeCase, only: [engine_class: 0, endless: 0, patience: 0]
  import Vllm.FakeWorkerCase, only: [wait_until: 1]

  alias Vllm.{AsyncLLM, Error, OtherNode}

  @moduletag :bridge

  setup_all do
    port = free_port()
    home = start_node(:home, port, [])
    guest = start_node(:guest, port, [~c"-dist_listen", ~c"false"])
    home_node = OtherNode.call(home, :erlang, :node, [])
    assert OtherNode.call(guest, :net_kernel, :connect_node, [home_node])

    options = [engine_class: engine_class(), log: false] ++ patience()
    # Nobody wants to wait for what a node has left that does not come back.
    instance = [name: Home.Vllm, disconnect_grace: 100] ++ options
    {:ok, _} = OtherNode.call(home, OtherNode, :start_instance, [instance])
    pooled = [name: Pooled.Vllm, pool: Far.Pool, engines: [it: [model: "x"]]] ++ options
    {:ok, _} = OtherNode.call(home, OtherNode, :start_instance, [pooled])
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

  describe "references whose owner's node has disconnected" do
    setup %{home: home} do
      {:ok, engine} = OtherNode.call(home, Vllm, :engine, [Pooled.Vllm, :it, :infinity])
      %{engine: engine}
    end

    test "are kept when it comes back, until the owner ends", context do
      %{home: home, guest: guest, engine: engine} = context
      {object, owner} = OtherNode.call(guest, OtherNode, :own_object_by, [engine])

      {:ok, linked} =
        OtherNode.call(guest, OtherNode, :link_engine_to, [
          owner,
          {Pooled.Vllm, context.home_node}
        ])

      for _ <- 1..2 do
        disconnect(context)
        reconnect(guest, context.home_node)
        assert {:ok, _} = OtherNode.call(guest, Vllm, :call, [object, "greet"])
        assert {:ok, true} = OtherNode.call(guest, AsyncLLM, :is_running, [linked])
      end

      OtherNode.call(guest, Process, :exit, [owner, :kill])
      assert {:ok, nil} = OtherNode.call(home, Vllm, :call, [engine, "wait_alive", [0]])
      greeted = OtherNode.call(guest, Vllm, :call, [object, "greet"])
      assert {:error, %Error{kind: :stale_ref}} = greeted
      assert gone?(home, linked)
    end

    test "are released when the owner ended meanwhile", context do
      %{home: home, guest: guest, engine: engine} = context
      {_object, owner} = OtherNode.call(guest, OtherNode, :own_object_by, [engine])
      disconnect(context)
      OtherNode.call(guest, Process, :exit, [owner, :kill])
      reconnect(guest, context.home_node)
      assert {:ok, nil} = OtherNode.call(home, Vllm, :call, [engine, "wait_alive", [0]])
    end
  end

  # Returns when both sides know of it.
  defp disconnect(%{home: home, guest: guest, home_node: home_node}) do
    waiting = OtherNode.call(guest, OtherNode, :await_nodedown, [home_node])
    guest_node = OtherNode.call(guest, :erlang, :node, [])
    assert OtherNode.call(home, :erlang, :disconnect_node, [guest_node])
    assert OtherNode.call(guest, OtherNode, :last_message, [waiting]) == :down
  end

  defp reconnect(guest, home_node),
    do: wait_until(fn -> OtherNode.call(guest, :net_adm, :ping, [home_node]) == :pong end)

  # Somebody else shuts it down.
  defp gone?(home, engine) do
    wait_until(fn ->
      match?({:error, _}, OtherNode.call(home, AsyncLLM, :check_health, [engine]))
    end)

    true
  end

  describe "a pool" do
    # `:pg` knows visible nodes only, and a node that does not listen is hidden.
    test "has members on other nodes", %{home_node: node, port: port} do
      guest = start_node(:neighbour, port, [], "127.0.0.2")
      assert OtherNode.call(guest, :net_kernel, :connect_node, [node])
      {:ok, _} = OtherNode.call(guest, OtherNode, :start_pool, [[name: Far.Pool]])

      wait_until(fn ->
        match?({:ok, [_]}, OtherNode.call(guest, Vllm.Pool, :members, [Far.Pool]))
      end)

      chat = [{Far.Pool, :it}, "Hello", [max_tokens: 2, rpc: [affinity: 1]]]
      assert {:ok, %Vllm.ChatCompletion{}} = OtherNode.call(guest, Vllm, :chat, chat)
      assert {:ok, ref} = OtherNode.call(guest, Vllm.Pool, :pick, [Far.Pool, :it])
      assert ref.instance == {Pooled.Vllm, node}

      # Its load comes over as well.
      receiver = OtherNode.call(guest, OtherNode, :receive_endless, [ref, endless()])

      wait_until(fn ->
        match?({:ok, [%{running: 1}]}, OtherNode.call(guest, Vllm.Pool, :members, [Far.Pool]))
      end)

      OtherNode.call(guest, Process, :exit, [receiver, :kill])
      :peer.stop(guest)
    end

    test "lists instances of other nodes by their names", %{guest: guest, home_node: node} do
      listed = [name: Listed.Pool, members: [{Pooled.Vllm, node}]]
      {:ok, _} = OtherNode.call(guest, OtherNode, :start_pool, [listed])
      chat = [{Listed.Pool, :it}, "Hello", [max_tokens: 2]]

      wait_until(fn ->
        match?(
          {:ok, [%{state: :ready}]},
          OtherNode.call(guest, Vllm.Pool, :members, [Listed.Pool])
        )
      end)

      assert {:ok, %Vllm.ChatCompletion{}} = OtherNode.call(guest, Vllm, :chat, chat)
    end
  end

  test "a receiver is told of the end of the node whose instance serves it", context do
    %{home: home, port: port} = context
    doomed = start_node(:doomed, port, [], "127.0.0.3")
    Process.unlink(doomed)
    assert OtherNode.call(doomed, :net_kernel, :connect_node, [context.home_node])
    doomed_node = OtherNode.call(doomed, :erlang, :node, [])
    assert OtherNode.call(home, :net_kernel, :connect_node, [doomed_node])
    assert doomed_node in OtherNode.call(home, Node, :list, [:connected])

    options =
      [engine_class: engine_class(), log: false, engines: [it: [model: "x"]]] ++ patience()

    instance = [name: Doomed.Vllm] ++ options
    {:ok, _} = OtherNode.call(doomed, OtherNode, :start_instance, [instance])

    {:ok, engine} =
      OtherNode.call(doomed, AsyncLLM, :from_engine_args, [Doomed.Vllm, [model: "x"]])

    receiver = OtherNode.call(home, OtherNode, :receive_endless, [engine, endless()])
    pid = OtherNode.call(doomed, System, :pid, [])
    asking = ask_pool(home, doomed_node)
    {_, 0} = System.cmd("kill", ["-KILL", pid])

    assert {:error, %Error{kind: :worker_down, message: message}} =
             OtherNode.call(home, OtherNode, :last_message, [receiver])

    assert message =~ "Doomed.Vllm on #{doomed_node}"
    # A pool with a member there has lost nothing.
    assert OtherNode.call(home, OtherNode, :last_message, [asking]) == %{ok: 1_000}
  end

  # Chats of a pool with a member here and one on the other node, a part of which has been made.
  defp ask_pool(home, doomed_node) do
    pool = [name: Mixed.Pool, members: [Pooled.Vllm, {Doomed.Vllm, doomed_node}]]
    {:ok, _} = OtherNode.call(home, OtherNode, :start_pool, [pool])

    wait_until(fn ->
      {:ok, members} = OtherNode.call(home, Vllm.Pool, :members, [Mixed.Pool])
      Enum.all?(members, &(&1.state == :ready))
    end)

    asking = OtherNode.call(home, OtherNode, :start_asking, [{Mixed.Pool, :it}, 1_000])
    wait_until(fn -> OtherNode.call(home, OtherNode, :asked, []) > 100 end)
    asking
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

  # All have the same port, so those that listen have addresses of their own.
  defp start_node(name, port, arguments, host \\ "127.0.0.1") do
    interface = "{" <> String.replace(host, ".", ",") <> "}"

    OtherNode.boot(&:peer.start_link/1, %{
      name: :"#{name}_#{System.pid()}",
      host: String.to_charlist(host),
      longnames: true,
      args:
        [
          ~c"-start_epmd",
          ~c"false",
          ~c"-erl_epmd_port",
          ~c"#{port}",
          ~c"-setcookie",
          ~c"vllm_bridge",
          ~c"-kernel",
          ~c"inet_dist_use_interface",
          String.to_charlist(interface)
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
