defmodule Vllm.Faults.MemoryTest do
  # A worker that may have no more memory.
  use Vllm.FaultCase, needs: [:memory_limit]

  @megabyte 1024 * 1024

  test "the kernel kills a worker that exceeds its control group's memory", %{name: name} do
    engine = start(name, max_restarts: 10)
    tree = ProcessTree.of(name)
    undo = Tools.limit_memory([tree.worker], 24 * @megabyte)

    capture_log(fn ->
      result =
        lost("worker", "its control group is out of memory", engine, [:worker_down], fn ->
          hoard(engine)
        end)

      assert result.messages.worker_down =~ "killed from outside or by the kernel"
    end)

    await_gone(tree)
    undo.()
    assert_back(name)
    stop(name)
  end

  # What cannot be read any more ends the session, and with `one_for_all` the worker is a new one then.
  # `prlimit` is a part of util-linux, which every system has.
  test "a worker to which the system refuses memory is replaced", %{name: name} do
    engine = start(name, max_restarts: 10)
    tree = ProcessTree.of(name)
    [_all, pages] = Regex.run(~r/^(\d+)/, File.read!("/proc/#{tree.worker}/statm"))
    limit = String.to_integer(pages) * 4096 + 128 * @megabyte

    capture_log(fn ->
      kinds = [:worker_down, :overloaded]

      lost("worker", "the system refuses memory (RLIMIT_AS)", engine, kinds, fn ->
        {_said, 0} = System.cmd("prlimit", ["--pid", "#{tree.worker}", "--as=#{limit}"])
        hoard(engine)
      end)
    end)

    await_gone(tree)
    assert_back(name)
    stop(name)
  end

  # Until the worker is gone.
  defp hoard(engine) do
    value = :binary.copy("x", 40 * @megabyte)
    for _ <- 1..4, do: spawn(fn -> Vllm.call(engine, "echo", [value]) end)
    nil
  end
end
