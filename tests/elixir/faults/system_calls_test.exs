defmodule Vllm.Faults.SystemCallsTest do
  # System calls of the worker and of the BEAM that fail, or take long.
  use Vllm.FaultCase, needs: [:strace]

  @waits "epoll_wait,epoll_pwait,epoll_pwait2,poll,ppoll"
  @reads "read,readv,recvfrom,recvmsg"
  @writes "write,writev,sendto,sendmsg"

  # Interrupted calls and slow ones are nobody's concern.
  @passing [
    {"waits are interrupted", @waits, "error=EINTR:when=3+3"},
    {"writes are interrupted", @writes, "error=EINTR:when=3+3"},
    {"each write takes 5 ms longer", @writes, "delay_enter=5000"},
    {"each read takes 5 ms longer", @reads, "delay_exit=5000"}
  ]

  for {fault, calls, how} <- @passing do
    test "worker: #{fault}", %{name: name} do
      engine = start(name)
      %{worker: worker} = ProcessTree.of(name)

      survived("worker", unquote(fault), engine, fn ->
        injected(worker, unquote(calls), unquote(how), fn -> rounds(engine, 20) end)
      end)

      stop(name)
    end

    test "BEAM: #{fault}", %{name: name} do
      {peer, engine, tree} = boot(name)
      beam = os_pid(peer)

      survived_in(peer, "BEAM", unquote(fault), engine, fn ->
        injected(beam, unquote(calls), unquote(how), fn ->
          FaultCase.rounds_in(peer, engine, 20)
        end)
      end)

      end_of(peer, tree)
    end
  end

  # The BEAM ends a socket whose read is interrupted, which the kernel never does where a read does not wait.
  test "worker: reads are interrupted", %{name: name} do
    engine = start(name)
    %{worker: worker} = ProcessTree.of(name)

    survived("worker", "reads are interrupted", engine, fn ->
      injected(worker, @reads, "error=EINTR:when=3+3", fn -> rounds(engine, 20) end)
    end)

    stop(name)
  end

  # A socket that fails is a session that has ended.
  @ending [
    {"a write fails with EIO", @writes, "error=EIO:when=20"},
    {"writes fail with ENOSPC", @writes, "error=ENOSPC:when=20+1"},
    {"reads fail with EIO", @reads, "error=EIO:when=20"},
    {"reads fail with ECONNRESET", @reads, "error=ECONNRESET:when=20"}
  ]

  for {fault, calls, how} <- @ending do
    test "worker: #{fault}", %{name: name} do
      engine = start(name, max_restarts: 10)
      tree = ProcessTree.of(name)
      load = :"load of #{name}"

      capture_log(fn ->
        Load.start(load, engine)
        Load.mark(load)

        {result, injected} =
          Tools.inject(tree.worker, unquote(calls), unquote(how), fn -> Load.await(load) end)

        assert injected > 0
        Report.add("worker", unquote(fault), result)
        Load.check(result, [:worker_down])
      end)

      await_gone(tree)
      assert_back(name)
      stop(name)
    end
  end

  test "BEAM: the write of a session fails with EIO", %{name: name} do
    {peer, engine, tree} = boot(name, max_restarts: 10)
    beam = os_pid(peer)

    lost_in(peer, "BEAM", "a write fails with EIO", engine, [:worker_down], fn ->
      injected(beam, "writev,sendto", "error=EIO:when=30", fn ->
        OtherNode.call(peer, FaultCase, :await_down, [name, tree.worker])
      end)
    end)

    await_gone(tree)
    OtherNode.call(peer, FaultCase, :assert_back, [name])
    end_of(peer, OtherNode.call(peer, ProcessTree, :of, [name]))
  end

  test "worker: no descriptor is left, for connections, files and threads", %{name: name} do
    engine = start(name)
    %{worker: worker} = ProcessTree.of(name)

    survived("worker", "descriptors run out (EMFILE)", engine, fn ->
      injected(worker, "openat,socket,accept,accept4,pipe2,eventfd2,dup", "error=EMFILE", fn ->
        results = for _ <- 1..4, do: AsyncLLM.from_engine_args(name, model: "fake")
        "engines built meanwhile: #{Enum.map_join(results, ", ", &outcome/1)}"
      end)
    end)

    # A second client, which could not be accepted.
    other = :"other of #{name}"
    {:ok, address, token} = Vllm.Core.Worker.address(Module.concat(name, "Worker"))
    start_supervised!({Vllm, name: other, connect: address, token: token}, id: other)
    assert control(engine(other), "echo", [1]) == 1
    stop_supervised!(other)
    stop(name)
  end

  test "worker: no thread can be started", %{name: name} do
    engine = start(name)
    %{worker: worker} = ProcessTree.of(name)

    survived("worker", "no thread can be started (EAGAIN)", engine, fn ->
      injected(worker, "clone,clone3", "error=EAGAIN", fn ->
        results = for _ <- 1..4, do: Vllm.call(engine, "echo_sync", [1])
        "blocking calls meanwhile: #{Enum.map_join(results, ", ", &outcome/1)}"
      end)
    end)

    assert control(engine, "echo_sync", [1]) == 1
    stop(name)
  end

  # With what a test of ours saw meanwhile as a note.
  defp injected(os_pid, calls, how, fun) do
    {note, injected} = Tools.inject(os_pid, calls, how, fun)
    assert injected > 0
    note
  end
end
